// Blocks and threads of a kernel on the host: one after another, each thread with a stack of its own, so that index arithmetic, tails, layouts
// and barriers are really executed where there is no GPU. Not a model of time, nor of the memory's order: what is proven is what a
// kernel reads and writes.
//
//   A thread runs until it waits: for its block (BlockBarrier) or for the other 31 of its warp (WarpCollective). Between two waits the threads
//   run in one of several orders: a kernel that lacks a barrier gives different results in different orders.
//   Shared memory is filled with 0xff before each block and exactly as large as the launch asked for: AddressSanitizer sees what goes beyond.
//   An asynchronous copy spoils its destination when it is started and copies when the thread waits for it, and not before.
//   A warp that is not complete at a collective, threads that wait for ever and shared memory above 227 KiB end the process with a message.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longcat::cuda::emulation {

struct Extent {
    unsigned x = 1, y = 1, z = 1;
};

enum class Order { kForward, kReverse, kShuffled };

// Of blocks within a grid and of threads within a block, for all launches that follow.
void SetOrder(Order order, uint64_t seed = 1);

// body(argument) for every thread.
void Run(const Extent& grid, unsigned threads, size_t shared, void (*body)(const void*), const void* argument);

// What the running thread asks.
int ThreadX();
int BlockX();
int BlockY();
int BlockZ();
int GridX();
uint8_t* SharedMemory();

void BlockBarrier();

// perform(lanes) once all 32 threads of the warp have come, with what each of them brought.
void WarpCollective(void* arguments, void (*perform)(void* const* lanes));

// cp.async of one thread; where it is not valid, zeros are written.
void CopyAsync(void* to, const void* from, size_t bytes, bool valid);
void CommitCopies();
void WaitCopies(unsigned unfinished_groups);

}  // namespace longcat::cuda::emulation
