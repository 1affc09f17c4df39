/* Sharing ranges of work among threads.
 *
 * Threads of our own, started and joined within a call, and no OpenMP: a second OpenMP runtime beside torch's fights
 * for the cores, and its pool does not survive the fork of a data loader. Starting one costs some tens of microseconds,
 * so there is one only for every MINIMUM_WORK.
 */
#ifndef SPS_NATIVE_THREADS_H
#define SPS_NATIVE_THREADS_H

#include <pthread.h>

#include "native.h"

#define MINIMUM_WORK 2000000 /* multiply-adds worth a thread: well below a millisecond */
#define MAXIMUM_THREADS 256

/* Work on begin..end of a job; `weights` is what was packed for it. */
typedef int (*worker)(const void *job, const void *weights, int64_t begin, int64_t end);

struct share {
    worker work;
    const void *job, *weights;
    int64_t begin, end;
    int status;
};

static void *run_share(void *argument)
{
    struct share *share = argument;
    share->status = share->work(share->job, share->weights, share->begin, share->end);
    return NULL;
}

/* Split 0..total into contiguous ranges that start at multiples of `step`; the worst status of all. */
static int share_among(int64_t num_threads, int64_t multiply_adds, int64_t total, int64_t step, worker work,
                       const void *job, const void *weights)
{
    struct share shares[MAXIMUM_THREADS];
    pthread_t threads[MAXIMUM_THREADS];
    int is_started[MAXIMUM_THREADS];
    num_threads = smaller(smaller(num_threads, MAXIMUM_THREADS), 1 + multiply_adds / MINIMUM_WORK);
    int status = DONE;
    for (int64_t n = 0; n < num_threads; n++) {
        const int64_t begin = smaller(total, round_up(total * n / num_threads, step));
        const int64_t end = smaller(total, round_up(total * (n + 1) / num_threads, step));
        shares[n] = (struct share){.work = work, .job = job, .weights = weights, .begin = begin, .end = end};
        /* The last share is for this thread; a share that gets none of its own is done here too. */
        is_started[n] = n + 1 < num_threads && !pthread_create(&threads[n], NULL, run_share, &shares[n]);
    }
    for (int64_t n = num_threads - 1; n >= 0; n--) {
        if (is_started[n])
            pthread_join(threads[n], NULL);
        else
            run_share(&shares[n]);
    }
    for (int64_t n = 0; n < num_threads; n++)
        status = shares[n].status > status ? shares[n].status : status;
    return status;
}

#endif
