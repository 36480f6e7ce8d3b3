// Counts how often a program asks for memory: preloaded into it, it stands before the C library's allocator.
//
//     cc -O2 -shared -fPIC -o count_malloc.so count_malloc.c -ldl && LD_PRELOAD=./count_malloc.so PROGRAM
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static _Atomic uint64_t asked;
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void *(*next_aligned_alloc)(size_t, size_t);

// Asks for memory before the allocator is found: dlsym does.
static char early[4096];
static size_t early_used;

static void *early_memory(size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (early_used + size > sizeof early) return NULL;
    void *memory = early + early_used;
    early_used += size;
    return memory;
}

__attribute__((constructor)) static void find(void) {
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    next_calloc = dlsym(RTLD_NEXT, "calloc");
    next_realloc = dlsym(RTLD_NEXT, "realloc");
    next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    next_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
}

uint64_t market_hub_allocation_count(void) { return atomic_load(&asked); }

void *malloc(size_t size) {
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    if (!next_malloc) find();
    return next_malloc(size);
}

void *calloc(size_t count, size_t size) {
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    if (!next_calloc) return early_memory(count * size);
    return next_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    if (!next_realloc) find();
    if ((char *)memory >= early && (char *)memory < early + sizeof early) {
        void *copy = next_malloc(size);
        if (copy) memcpy(copy, memory, size < (size_t)(early + sizeof early - (char *)memory) ? size : (size_t)(early + sizeof early - (char *)memory));
        return copy;
    }
    return next_realloc(memory, size);
}

void free(void *memory) {
    static void (*next_free)(void *);
    if ((char *)memory >= early && (char *)memory < early + sizeof early) return;
    if (!next_free) next_free = dlsym(RTLD_NEXT, "free");
    next_free(memory);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    if (!next_posix_memalign) find();
    return next_posix_memalign(memory, alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    if (!next_aligned_alloc) find();
    return next_aligned_alloc(alignment, size);
}
