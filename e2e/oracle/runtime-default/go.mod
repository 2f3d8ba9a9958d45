module podfence.dev/oracle/runtime-default

go 1.26.0
