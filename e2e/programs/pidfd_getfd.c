/* Takes a file from its child and reads it, as sandboxes do that open files for others, and exits
 * with 1 when that is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failed(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

int main(void) {
  int opened[2];
  char number[16] = "";
  if (pipe(opened) != 0)
    return failed("pipe");
  pid_t child = fork();
  if (child < 0)
    return failed("fork");
  if (child == 0) {
    int length = snprintf(number, sizeof number, "%d", open("/etc/passwd", O_RDONLY));
    if (write(opened[1], number, length) == length)
      pause();
    _exit(1);
  }
  int file = -1;
  if (read(opened[0], number, sizeof number - 1) <= 0 || sscanf(number, "%d", &file) != 1)
    return failed("the child says nothing");
  int process = (int)syscall(SYS_pidfd_open, child, 0);
  if (process < 0)
    return failed("pidfd_open");
  int taken = (int)syscall(SYS_pidfd_getfd, process, file, 0);
  int is_refused = taken < 0 && failed("pidfd_getfd");
  kill(child, SIGKILL);
  char content[4];
  return is_refused || read(taken, content, sizeof content) != sizeof content;
}
