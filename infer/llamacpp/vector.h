// The functions of vector.c, for one kind of processor: VECTORS(name) appends the kind to their names.

static inline floats VECTORS(load)(const float * x, int n) {
	floats v;
	if (n >= lanes) {
		memcpy(&v, x, sizeof v);
		return v;
	}
	for (int i = 0; i < lanes; i++) {
		v[i] = i < n ? x[i] : -INFINITY;
	}
	return v;
}

static inline floats VECTORS(choose)(ints mask, floats yes, floats no) { return (floats) (((ints) yes & mask) | ((ints) no & ~mask)); }

// exponential computes e to the x for x of at most 0; 0 below -87 and for NaN. See softmax.go in package infer.
static inline floats VECTORS(exponential)(floats x) {
	ints   n = __builtin_convertvector(x * 1.44269504f - 0.5f, ints);
	floats f = __builtin_convertvector(n, floats);
	floats r = x - f * 0.693359375f + f * 2.12194440e-4f;
	floats p = 1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
	floats e = p * (floats) ((n + 127) << 23);
	return (floats) ((ints) e & (x >= -87.0f));
}

// exponentials fills probs with exp((logit-largest)*inverse) and sums with their sums over blocks.
static void VECTORS(exponentials)(float * probs, const float * logits, int n, float largest, float inverse, int block, float * sums) {
	for (int from = 0; from < n; from += block) {
		int    to  = from + block < n ? from + block : n;
		floats sum = { 0 };
		for (int i = from; i < to; i += lanes) {
			floats e = VECTORS(exponential)((VECTORS(load)(logits + i, to - i) - largest) * inverse);
			memcpy(probs + i, &e, (to - i >= lanes ? lanes : to - i) * sizeof(float));
			sum += e;
		}
		float total = 0;
		for (int i = 0; i < lanes; i++) {
			total += sum[i];
		}
		*sums++ = total;
	}
}

// largest returns the index of the largest of n logits, the first of equals; -1 when all are -Inf or NaN.
static int VECTORS(largest)(const float * logits, int n) {
	floats best = VECTORS(load)(logits, 0);
	for (int i = 0; i < n; i += lanes) {
		floats x = VECTORS(load)(logits + i, n - i);
		best = VECTORS(choose)(x > best, x, best);
	}
	float largest = -INFINITY;
	for (int i = 0; i < lanes; i++) {
		largest = best[i] > largest ? best[i] : largest;
	}
	if (largest == -INFINITY) {
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (logits[i] == largest) {
			return i;
		}
	}
	return -1;
}
