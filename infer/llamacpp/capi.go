package llamacpp

/*
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// Declarations of the calls that the Go package does not wrap; its headers are not on our include path. The names and
// signatures are llama.cpp's public C interface at the version in go.mod.
struct llama_context;
struct llama_model;
struct llama_vocab;
struct llama_memory_i;

extern void     llama_set_embeddings(struct llama_context * ctx, bool embeddings);
extern void     llama_set_n_threads(struct llama_context * ctx, int32_t n_threads, int32_t n_threads_batch);
extern float *  llama_get_logits_ith(struct llama_context * ctx, int32_t i);
extern float *  llama_get_embeddings_ith(struct llama_context * ctx, int32_t i);
extern int32_t  llama_model_n_embd(const struct llama_model * model);
extern uint32_t llama_n_ctx_seq(const struct llama_context * ctx);
extern uint32_t llama_n_batch(const struct llama_context * ctx);
extern struct llama_memory_i * llama_get_memory(const struct llama_context * ctx);
extern bool     llama_memory_seq_rm(struct llama_memory_i * mem, int32_t seq, int32_t p0, int32_t p1);
extern void     llama_memory_seq_cp(struct llama_memory_i * mem, int32_t src, int32_t dst, int32_t p0, int32_t p1);
extern int32_t  llama_memory_seq_pos_max(struct llama_memory_i * mem, int32_t seq);
extern size_t   llama_state_seq_get_size(struct llama_context * ctx, int32_t seq);
extern size_t   llama_state_seq_get_data(struct llama_context * ctx, uint8_t * dst, size_t size, int32_t seq);
extern size_t   llama_state_seq_set_data(struct llama_context * ctx, const uint8_t * src, size_t size, int32_t seq);

extern const struct llama_vocab * llama_model_get_vocab(const struct llama_model * model);
extern bool     llama_model_has_encoder(const struct llama_model * model);
extern bool     llama_model_is_recurrent(const struct llama_model * model);
extern bool     llama_model_is_hybrid(const struct llama_model * model);
extern int      llama_vocab_type(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_n_tokens(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_bos(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_eos(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_eot(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_fim_pad(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_fim_rep(const struct llama_vocab * vocab);
extern int32_t  llama_vocab_fim_sep(const struct llama_vocab * vocab);
extern bool     llama_vocab_get_add_bos(const struct llama_vocab * vocab);
extern bool     llama_vocab_is_eog(const struct llama_vocab * vocab, int32_t token);
extern bool     llama_vocab_is_control(const struct llama_vocab * vocab, int32_t token);
extern int32_t  llama_token_to_piece(const struct llama_vocab * vocab, int32_t token, char * buf, int32_t length, int32_t lstrip, bool special);
extern int32_t  llama_tokenize(const struct llama_vocab * vocab, const char * text, int32_t text_len, int32_t * tokens, int32_t n_tokens_max, bool add_special, bool parse_special);

extern void llama_log_set(void (*callback)(int level, const char * text, void * data), void * data);
extern void ggml_log_set(void (*callback)(int level, const char * text, void * data), void * data);
typedef void (*ggml_abort_callback_t)(const char * message);
extern ggml_abort_callback_t ggml_set_abort_callback(ggml_abort_callback_t callback);

struct ggml_backend_device;
extern size_t ggml_backend_dev_count(void);
extern struct ggml_backend_device * ggml_backend_dev_get(size_t index);
extern int ggml_backend_dev_type(struct ggml_backend_device * device);
extern const char * ggml_backend_dev_name(struct ggml_backend_device * device);
extern const char * ggml_backend_dev_description(struct ggml_backend_device * device);
extern void ggml_backend_dev_memory(struct ggml_backend_device * device, size_t * free, size_t * total);

extern void prunellm_backend_log(int level, const char * text, void * data);
extern void prunellm_die(const char * message);

static void set_log(void) {
	llama_log_set(prunellm_backend_log, NULL);
	ggml_log_set(prunellm_backend_log, NULL);
}

static void set_abort(void) {
	ggml_set_abort_callback(prunellm_die);
}

// trim returns freed memory to the system: glibc otherwise keeps the memory below a live allocation.
static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

// vocab_pieces writes the pieces of all tokens one after another to buf, the ends of pieces to ends and their flags (1: ends
// an answer, 2: control token) to flags. It returns the bytes needed, and writes at most cap of them.
static int64_t vocab_pieces(const struct llama_vocab * vocab, int32_t n, char * buf, int64_t cap, uint32_t * ends, uint8_t * flags) {
	int64_t used = 0;
	char scratch[4096];
	for (int32_t t = 0; t < n; t++) {
		int32_t len = llama_token_to_piece(vocab, t, scratch, sizeof scratch, 0, true);
		if (len < 0) {
			len = 0; // longer than any real token: it has no text
		}
		if (used + len <= cap) {
			memcpy(buf + used, scratch, len);
		}
		used += len;
		ends[t] = (uint32_t) used;
		flags[t] = (llama_vocab_is_eog(vocab, t) ? 1 : 0) | (llama_vocab_is_control(vocab, t) ? 2 : 0);
	}
	return used;
}
*/
import "C"

import (
	"os"
	"sync"
	"unsafe"

	"github.com/ollama/ollama/llama"

	"prunellm/infer"
)

// context, model and vocabulary pointers as C sees them. llama.Context and llama.Model keep theirs in their first field.
type (
	cContext = *C.struct_llama_context
	cModel   = *C.struct_llama_model
	cVocab   = *C.struct_llama_vocab
)

func rawContext(c *llama.Context) cContext { return *(*cContext)(unsafe.Pointer(c)) }

func rawModel(m *llama.Model) cModel { return *(*cModel)(unsafe.Pointer(m)) }

// initBackend redirects llama.cpp's log and abort callback to this package. Before that it sets the environment variables that
// llama.cpp reads.
var initBackend = sync.OnceFunc(func() {
	os.Setenv("GGML_NO_BACKTRACE", "1") // setenv does not fail for a valid name
	untrusted = adoptLibraries()
	C.set_log()
	C.set_abort()
	llama.BackendInit()
	C.set_log() // loading backends from files may have reset it
	if notStarted = takeError(); untrusted != nil {
		notStarted = " (" + untrusted.Error() + ")"
	}
})

// untrusted names the backends that were not loaded because other users can change them. It is nil if there are none.
var untrusted error

// notStarted is the first error of a backend that does not start, in brackets, or "".
var notStarted string

// WhyNotStarted returns the error of a backend that exists but does not start, in brackets for the end of a message, or "".
func WhyNotStarted() string {
	initBackend()
	return notStarted
}

// describeDevice returns ggml's description of the device at this index of its list; memory is in bytes.
func describeDevice(index uint64) (name, description string, free, total int64) {
	device := C.ggml_backend_dev_get(C.size_t(index))
	var f, t C.size_t
	C.ggml_backend_dev_memory(device, &f, &t)
	return C.GoString(C.ggml_backend_dev_name(device)), C.GoString(C.ggml_backend_dev_description(device)), int64(f), int64(t)
}

// processors returns the indices of processors in ggml's list of devices.
func processors() (indices []uint64) {
	const cpu = 0 // GGML_BACKEND_DEVICE_TYPE_CPU
	for i := range uint64(C.ggml_backend_dev_count()) {
		if C.ggml_backend_dev_type(C.ggml_backend_dev_get(C.size_t(i))) == cpu {
			indices = append(indices, i)
		}
	}
	return indices
}

func trimMemory() { C.trim() }

// wantHidden sets whether a batch returns its hidden states. The Go package always requests them.
func wantHidden(c cContext, wanted bool) { C.llama_set_embeddings(c, C.bool(wanted)) }

func hiddenSize(m cModel) int { return int(C.llama_model_n_embd(m)) }

// hidden returns float32[size] in llama.cpp's output buffer, or nil if the index was not requested.
func hidden(c cContext, index, size int) []float32 {
	p := C.llama_get_embeddings_ith(c, C.int32_t(index))
	if p == nil {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(p)), size)
}

func setThreads(c cContext, generation, batch int) {
	C.llama_set_n_threads(c, C.int32_t(generation), C.int32_t(batch))
}

func sequenceContext(c cContext) int { return int(C.llama_n_ctx_seq(c)) }

func largestBatch(c cContext) int { return int(C.llama_n_batch(c)) }

// logits returns float32[vocab] in llama.cpp's output buffer, or nil if the index was not requested.
func logits(c cContext, index, vocab int) []float32 {
	p := C.llama_get_logits_ith(c, C.int32_t(index))
	if p == nil {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(p)), vocab)
}

func memoryRemove(c cContext, seq, from, to int) bool {
	return bool(C.llama_memory_seq_rm(C.llama_get_memory(c), C.int32_t(seq), C.int32_t(from), C.int32_t(to)))
}

func memoryCopy(c cContext, src, dst int) {
	C.llama_memory_seq_cp(C.llama_get_memory(c), C.int32_t(src), C.int32_t(dst), -1, -1)
}

// memoryLength returns the number of positions of a sequence in the KV cache.
func memoryLength(c cContext, seq int) int {
	return int(C.llama_memory_seq_pos_max(C.llama_get_memory(c), C.int32_t(seq))) + 1
}

func stateSize(c cContext, seq int) int { return int(C.llama_state_seq_get_size(c, C.int32_t(seq))) }

func stateGet(c cContext, seq int, dst []byte) int {
	return int(C.llama_state_seq_get_data(c, (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(dst))), C.size_t(len(dst)), C.int32_t(seq)))
}

func stateSet(c cContext, seq int, src []byte) int {
	return int(C.llama_state_seq_set_data(c, (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(src))), C.size_t(len(src)), C.int32_t(seq)))
}

// causalDecoder reports whether this package can run the model: a decoder whose cache can be cut at any position.
func causalDecoder(m cModel) bool {
	return !bool(C.llama_model_has_encoder(m)) && !bool(C.llama_model_is_recurrent(m)) && !bool(C.llama_model_is_hybrid(m))
}

func modelVocab(m cModel) cVocab { return C.llama_model_get_vocab(m) }

// vocabBPE is LLAMA_VOCAB_TYPE_BPE.
const vocabBPE = 2

// loadVocabulary copies the pieces and flags of all tokens from the model. g has the special tokens that its file names.
func loadVocabulary(v cVocab, g given) vocabulary {
	n := int(C.llama_vocab_n_tokens(v))
	out := vocabulary{
		ends:   make([]uint32, n),
		flags:  make([]uint8, n),
		bos:    infer.Token(C.llama_vocab_bos(v)),
		addBOS: bool(C.llama_vocab_get_add_bos(v)),

		bytePair: C.llama_vocab_type(v) == vocabBPE,
	}
	if n == 0 {
		return out
	}
	out.bytes = make([]byte, 16*n)
	for {
		need := int(C.vocab_pieces(v, C.int32_t(n), (*C.char)(unsafe.Pointer(unsafe.SliceData(out.bytes))), C.int64_t(len(out.bytes)),
			(*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(out.ends))), (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(out.flags)))))
		if need <= len(out.bytes) {
			out.bytes = out.bytes[:need:need]
			out.listControls()
			out.dropDefaults(g, infer.Token(C.llama_vocab_eos(v)), infer.Token(C.llama_vocab_eot(v)), infer.Token(C.llama_vocab_fim_pad(v)),
				infer.Token(C.llama_vocab_fim_rep(v)), infer.Token(C.llama_vocab_fim_sep(v)))
			return out
		}
		out.bytes = make([]byte, need)
	}
}

// tokenizeInto writes the tokens of text to dst. It returns their number, or minus the number if dst is too short.
func tokenizeInto(v cVocab, text string, special bool, dst []infer.Token) int {
	n := C.llama_tokenize(v, (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.int32_t(len(text)),
		(*C.int32_t)(unsafe.Pointer(unsafe.SliceData(dst))), C.int32_t(len(dst)), C.bool(false), C.bool(special))
	return int(n)
}
