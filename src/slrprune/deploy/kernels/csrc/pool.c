// A small pool of threads, so that no second OpenMP runtime enters the process.
//
// One call at a time has the pool; calls that find it taken run in their own thread. A call ends when its items are
// done and the workers that joined it have left; it does not wait for workers that never woke up. After a fork the
// child starts with an empty pool: its workers did not survive the fork.

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "slrk.h"

enum { MAX_WORKERS = 255, SPINS = 2000 };

struct job {
    void (*run)(void *, int64_t);
    void *context;
    int64_t items;
    _Atomic int64_t next;
    int seats; // workers that may still join
    _Atomic int inside;
};

static struct {
    pthread_mutex_t turn; // held by the call that has the pool
    pthread_mutex_t lock; // guards the rest
    pthread_cond_t wake, left;
    int workers;
    struct job *job;
    _Atomic unsigned ticket; // counts jobs, so that idle workers can watch for the next one
} pool = {.turn = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_items(struct job *job) {
    for (int64_t i; (i = atomic_fetch_add(&job->next, 1)) < job->items;) job->run(job->context, i);
}

static void *worker(void *unused) {
    (void)unused;
    unsigned seen = 0;
    for (;;) {
        // The next layer of a model usually follows within microseconds: watch for it before going to sleep.
        for (int i = 0; i < SPINS && atomic_load_explicit(&pool.ticket, memory_order_relaxed) == seen; i++) relax();
        pthread_mutex_lock(&pool.lock);
        while (pool.ticket == seen) pthread_cond_wait(&pool.wake, &pool.lock);
        seen = pool.ticket;
        struct job *job = pool.job;
        int joined = job && job->seats > 0;
        if (joined) job->seats--, job->inside++;
        pthread_mutex_unlock(&pool.lock);
        if (!joined) continue;
        take_items(job);
        pthread_mutex_lock(&pool.lock);
        if (--job->inside == 0) pthread_cond_signal(&pool.left);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

// Called with the lock held. A machine that refuses a thread is served by fewer.
static void grow(int workers) {
    if (workers > MAX_WORKERS) workers = MAX_WORKERS;
    if (pool.workers >= workers) return;
    sigset_t all, before; // signals are for the threads of the program
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_t thread;
        while (pool.workers < workers && pthread_create(&thread, &attributes, worker, NULL) == 0) pool.workers++;
        pthread_attr_destroy(&attributes);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void slrk_parallel(void (*run)(void *, int64_t), void *context, int64_t items, int threads) {
    if (threads > items) threads = (int)items;
    if (threads <= 1 || pthread_mutex_trylock(&pool.turn) != 0) {
        for (int64_t i = 0; i < items; i++) run(context, i);
        return;
    }
    struct job job = {.run = run, .context = context, .items = items, .seats = threads - 1};
    pthread_mutex_lock(&pool.lock);
    grow(threads - 1);
    pool.job = &job;
    pool.ticket++;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);

    take_items(&job);

    for (int i = 0; i < SPINS && atomic_load(&job.inside) > 0; i++) relax();
    pthread_mutex_lock(&pool.lock);
    pool.job = NULL;
    while (job.inside > 0) pthread_cond_wait(&pool.left, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.turn);
}

static void start_anew_in_child(void) {
    pthread_mutex_init(&pool.turn, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.left, NULL);
    pool.workers = 0;
    pool.job = NULL;
    pool.ticket = 0;
}

struct scratch {
    void *memory;
    size_t bytes;
};

static pthread_key_t scratch_key;

static void free_scratch(void *value) {
    struct scratch *s = value;
    free(s->memory);
    free(s);
}

__attribute__((constructor)) static void set_up(void) {
    pthread_atfork(NULL, NULL, start_anew_in_child);
    pthread_key_create(&scratch_key, free_scratch);
}

void *slrk_scratch(size_t bytes) {
    struct scratch *s = pthread_getspecific(scratch_key);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s || pthread_setspecific(scratch_key, s) != 0) {
            free(s);
            return NULL;
        }
    }
    if (s->bytes < bytes) {
        free(s->memory);
        s->bytes = 0;
        if (posix_memalign(&s->memory, SLRK_ALIGN, bytes) != 0) return s->memory = NULL;
        s->bytes = bytes;
    }
    return s->memory;
}
