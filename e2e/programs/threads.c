/* Counts in two threads under a lock. Compiled with ThreadSanitizer, which maps half of the address
 * space at its start and looks at every access; exits with 1 when the count is wrong. */
#include <pthread.h>
#include <stdio.h>

#define ROUNDS 1000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int counted;

static void *count(void *unused) {
  (void)unused;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_mutex_lock(&lock);
    counted++;
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[2];
  for (int number = 0; number < 2; number++)
    if (pthread_create(&threads[number], NULL, count, NULL) != 0)
      return 1;
  for (int number = 0; number < 2; number++)
    pthread_join(threads[number], NULL);
  printf("counted %d\n", counted);
  return counted != 2 * ROUNDS;
}
