/* Stand-in for miniaudio.h, on the include path when github.com/ollama/ollama/llama is compiled as a Go module.
 *
 * llama.cpp's multimodal helper includes "miniaudio/miniaudio.h" from a vendor folder, which Go module archives leave
 * out. prunellm serves text and never decodes audio, so this header declares only the names that the helper uses. Every call
 * returns "no such decoder", so that the helper refuses audio; nothing else changes.
 */
#ifndef PRUNELLM_MINIAUDIO_H
#define PRUNELLM_MINIAUDIO_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t ma_uint64;
typedef uint32_t ma_uint32;
typedef int ma_result;

enum { MA_SUCCESS = 0, MA_ERROR = -1 };
typedef enum { ma_format_f32 = 5 } ma_format;
typedef enum { ma_encoding_format_wav = 1 } ma_encoding_format;

typedef struct { int unused; } ma_decoder_config;
typedef struct { int unused; } ma_decoder;
typedef struct { int unused; } ma_encoder_config;
typedef struct { int unused; } ma_encoder;

static inline ma_decoder_config ma_decoder_config_init(ma_format format, ma_uint32 channels, ma_uint32 rate) {
    (void)format; (void)channels; (void)rate;
    ma_decoder_config config = {0};
    return config;
}
static inline ma_result ma_decoder_init_memory(const void *data, size_t size, const ma_decoder_config *config, ma_decoder *decoder) {
    (void)data; (void)size; (void)config; (void)decoder;
    return MA_ERROR;
}
static inline ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder *decoder, ma_uint64 *frames) {
    (void)decoder; *frames = 0;
    return MA_ERROR;
}
static inline ma_result ma_decoder_read_pcm_frames(ma_decoder *decoder, void *out, ma_uint64 frames, ma_uint64 *read) {
    (void)decoder; (void)out; (void)frames; *read = 0;
    return MA_ERROR;
}
static inline ma_result ma_decoder_uninit(ma_decoder *decoder) { (void)decoder; return MA_SUCCESS; }
static inline ma_encoder_config ma_encoder_config_init(ma_encoding_format encoding, ma_format format, ma_uint32 channels, ma_uint32 rate) {
    (void)encoding; (void)format; (void)channels; (void)rate;
    ma_encoder_config config = {0};
    return config;
}
static inline ma_result ma_encoder_init_file(const char *path, const ma_encoder_config *config, ma_encoder *encoder) {
    (void)path; (void)config; (void)encoder;
    return MA_ERROR;
}
static inline ma_result ma_encoder_write_pcm_frames(ma_encoder *encoder, const void *frames, ma_uint64 count, ma_uint64 *written) {
    (void)encoder; (void)frames; (void)count; (void)written;
    return MA_ERROR;
}
static inline void ma_encoder_uninit(ma_encoder *encoder) { (void)encoder; }

#endif
