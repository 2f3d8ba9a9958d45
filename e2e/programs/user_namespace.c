/* Makes a user namespace, as browsers, build tools and rootless containers do, and says how that
 * went. Sleeps for ever afterwards, or exits with 1 when it was refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  if (unshare(CLONE_NEWUSER) != 0) {
    printf("unshare(CLONE_NEWUSER): %s\n", strerror(errno));
    return 1;
  }
  printf("unshare(CLONE_NEWUSER): done\n");
  fflush(stdout);
  for (;;)
    pause();
}
