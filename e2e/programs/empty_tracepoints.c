// Programs that do nothing on the tracepoints of the observer: what being there costs by itself, beside which the
// observer is measured.

#define SECTION(name) __attribute__((section(name), used))

SECTION("raw_tracepoint/sys_enter")
int enter(void *context)
{
	(void)context;
	return 0;
}

SECTION("raw_tracepoint/sys_exit")
int leave(void *context)
{
	(void)context;
	return 0;
}

const char licence[] SECTION("license") = "Dual BSD/GPL";
