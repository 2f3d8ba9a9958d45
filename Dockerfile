# syntax=docker/dockerfile:1

# Two images, each of one static program and nothing else: the operator's, which is built unless another is asked for,
# and with `--target agent` the node agent's.
#
# Debian and glibc, as in the tests, linked statically; the memory allocator and resolver are then those that were tested.
FROM rust:1.95-slim-bookworm AS build
# Compiles what the agent runs in the kernel.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends clang && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Only with --target do the flags leave build scripts and procedural macros alone, which cannot be linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(rustc -vV | sed -n 's/^host: //p')" && \
    RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --release --package podfence-operator --package podfence-agent --target "$target" && \
    cp "target/$target/release/podfence-operator" "target/$target/release/podfence-agent" /

# No shell, no libraries, no package manager: nothing to patch but the program. The certificate authorities of the API
# server and the kubelet come with the service account, so no certificates are needed either.
FROM scratch AS agent
LABEL org.opencontainers.image.title="Podfence node agent" \
      org.opencontainers.image.description="Looks at one node, keeps its NodeReport, and observes system calls where it is told to." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /podfence-agent /podfence-agent
# Root, to whom belongs what it reads; config/agent takes every capability from it.
USER 0:0
EXPOSE 8081
ENTRYPOINT ["/podfence-agent"]

FROM scratch AS operator
LABEL org.opencontainers.image.title="Podfence" \
      org.opencontainers.image.description="Brings every namespace to its Pod Security level without breaking what runs." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /podfence-operator /podfence-operator
# A number, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/podfence-operator"]
