/* Reads the first bytes of a file by io_uring, as databases and proxies do that have no other way,
 * and exits with 1 when that is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 4
#define FILE_BYTES 64

static int failed(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

static char *map(int ring, size_t bytes, off_t at) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, at);
}

int main(int count, char **arguments) {
  struct io_uring_params params = {0};
  static char content[FILE_BYTES];
  int file = count == 2 ? open(arguments[1], O_RDONLY) : -1;
  if (file < 0)
    return failed("open");
  int ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
  if (ring < 0)
    return failed("io_uring_setup");
  char *submissions = map(ring, params.sq_off.array + params.sq_entries * sizeof(unsigned),
                          IORING_OFF_SQ_RING);
  char *completions = map(ring, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
                          IORING_OFF_CQ_RING);
  struct io_uring_sqe *entry =
      (void *)map(ring, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
  if (submissions == MAP_FAILED || completions == MAP_FAILED || (void *)entry == MAP_FAILED)
    return failed("mmap");

  entry->opcode = IORING_OP_READ;
  entry->fd = file;
  entry->addr = (unsigned long)content;
  entry->len = sizeof content;
  ((unsigned *)(void *)(submissions + params.sq_off.array))[0] = 0;
  __atomic_store_n((unsigned *)(void *)(submissions + params.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
    return failed("io_uring_enter");
  struct io_uring_cqe *result = (void *)(completions + params.cq_off.cqes);
  if (result->res <= 0) {
    errno = -result->res;
    return failed("read");
  }
  printf("read %d bytes\n", result->res);
  return 0;
}
