// Runs CUDA's kernels on the CPU, one block after the other. Each thread has its own stack and yields at barriers; see device.h.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <vector_types.h>

#include <vector>

uint3 threadIdx, blockIdx;
dim3  blockDim, gridDim;

extern bool reserving_graph; // ggml's: the graph is only recorded, to see what memory it takes

namespace standin {

constexpr int max_threads = 1024, warp = 32, stack_size = 128*1024;

char lane_values[max_threads][16];
char shared_memory[256*1024];

namespace {

struct thread {
	ucontext_t begin;
	jmp_buf    at; // once it has started
	char *     stack = nullptr;
	bool       started, over;
};

// Counts the threads of a warp or of the block that wait for each other.
struct barrier {
	int members, arrived, round;

	void arrive_alone() {
		if (members > 0 && arrived >= members) {
			arrived = 0;
			round++;
		}
	}
};

std::vector<thread> threads(max_threads);
barrier             warps[max_threads/warp], block;
jmp_buf             scheduler;
int                 current;
void             (* kernel)(void *);
void *              arguments;

void give_way() {
	if (_setjmp(threads[current].at) == 0) {
		_longjmp(scheduler, 1);
	}
}

void wait(barrier & b) {
	const int round = b.round;
	b.arrived++;
	b.arrive_alone();
	while (b.round == round) {
		give_way();
	}
}

void begin() {
	kernel(arguments);
	threads[current].over = true;
	for (barrier * b : {&warps[current/warp], &block}) {
		b->members--;
		b->arrive_alone();
	}
	give_way();
}

void run_block(int n) {
	block = {n, 0, 0};
	for (int w = 0; w*warp < n; w++) {
		warps[w] = {n - w*warp < warp ? n - w*warp : warp, 0, 0};
	}
	for (int i = 0; i < n; i++) {
		thread & t = threads[i];
		if (t.stack == nullptr) {
			t.stack = (char *) malloc(stack_size);
		}
		t.started = t.over = false;
		getcontext(&t.begin);
		t.begin.uc_stack.ss_sp   = t.stack;
		t.begin.uc_stack.ss_size = stack_size;
		makecontext(&t.begin, begin, 0);
	}
	while (block.members > 0) {
		for (volatile int i = 0; i < n; i++) {
			if (threads[i].over) {
				continue;
			}
			current   = i;
			threadIdx = {i % blockDim.x, i/blockDim.x % blockDim.y, i/(blockDim.x*blockDim.y)};
			if (_setjmp(scheduler) != 0) {
				continue; // it yielded
			}
			if (threads[i].started) {
				_longjmp(threads[i].at, 1);
			}
			threads[i].started = true;
			setcontext(&threads[i].begin);
		}
	}
}

} // namespace

int  lane() { return current % warp; }
int  first_lane() { return current - lane(); }
void wait_warp() { wait(warps[current/warp]); }
void wait_block() { wait(block); }

void run(dim3 grid, dim3 threads_of_block, void (* body)(void *), void * data) {
	const int n = threads_of_block.x*threads_of_block.y*threads_of_block.z;
	if (reserving_graph) {
		return;
	}
	if (n < 1 || n > max_threads) {
		fprintf(stderr, "a block of %d threads\n", n);
		abort();
	}
	kernel    = body;
	arguments = data;
	blockDim  = threads_of_block;
	gridDim   = grid;
	for (unsigned z = 0; z < grid.z; z++) {
		for (unsigned y = 0; y < grid.y; y++) {
			for (unsigned x = 0; x < grid.x; x++) {
				blockIdx = {x, y, z};
				run_block(n);
			}
		}
	}
}

} // namespace standin
