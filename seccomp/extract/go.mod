module podfence.dev/seccomp/extract

go 1.26
