# syntax=docker/dockerfile:1

# The operator's image: one static program and nothing else.
#
# Debian and glibc, as in the tests, linked statically; the memory allocator and resolver are then those that were tested.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Only with --target do the flags leave build scripts and procedural macros alone, which cannot be linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(rustc -vV | sed -n 's/^host: //p')" && \
    RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --release --package podfence-operator --target "$target" && \
    cp "target/$target/release/podfence-operator" /podfence-operator

# No shell, no libraries, no package manager: nothing to patch but the program. The API server's certificate authority
# comes with the service account, so no certificates are needed either.
FROM scratch
LABEL org.opencontainers.image.title="Podfence" \
      org.opencontainers.image.description="Brings every namespace to its Pod Security level without breaking what runs." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /podfence-operator /podfence-operator
# A number, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/podfence-operator"]
