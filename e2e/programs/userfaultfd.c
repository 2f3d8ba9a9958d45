/* Serves the page faults of its own memory, as a live migration does, and exits with 1 when that is
 * refused. Only faults of user space: for those of the kernel it takes a capability. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static long page_bytes;
static int faults;

static int failed(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

/* Fills the page that is touched. */
static void *serve(void *unused) {
  struct uffd_msg message;
  char *page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  (void)unused;
  if (page == MAP_FAILED || read(faults, &message, sizeof message) != sizeof message)
    return NULL;
  memset(page, 42, page_bytes);
  struct uffdio_copy copy = {
      .dst = message.arg.pagefault.address & ~((unsigned long)page_bytes - 1),
      .src = (unsigned long)page,
      .len = page_bytes,
  };
  ioctl(faults, UFFDIO_COPY, &copy);
  return NULL;
}

int main(void) {
  pthread_t server;
  page_bytes = sysconf(_SC_PAGESIZE);
  faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (faults < 0)
    return failed("userfaultfd");
  struct uffdio_api api = {.api = UFFD_API};
  if (ioctl(faults, UFFDIO_API, &api) != 0)
    return failed("UFFDIO_API");
  volatile char *memory =
      mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return failed("mmap");
  struct uffdio_register range = {
      .range = {.start = (unsigned long)memory, .len = page_bytes},
      .mode = UFFDIO_REGISTER_MODE_MISSING,
  };
  if (ioctl(faults, UFFDIO_REGISTER, &range) != 0)
    return failed("UFFDIO_REGISTER");
  if (pthread_create(&server, NULL, serve, NULL) != 0)
    return failed("pthread_create");
  int found = memory[0];
  printf("found %d\n", found);
  return found != 42;
}
