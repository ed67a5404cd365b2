/* libjpeg-turbo, behind functions that answer with a code.
 *
 * The library reports an error by calling a function that must not return. Rust may not be jumped over, so the jump
 * begins and ends here: each function below is left by its own return, and 0 from it means success. */

#include <setjmp.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

struct jpeg {
    struct jpeg_decompress_struct info; /* first, so that the library's pointer to it is one to all of this */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    int most_scans;
    char message[JMSG_LENGTH_MAX];
};

struct jpeg_header {
    uint32_t width;
    uint32_t height;
    uint32_t channels;     /* of what is decoded: 3 for RGB, 4 for inverted CMYK */
    uint64_t coefficients; /* bytes that are kept until the last scan is read; 0 when there is only one */
};

static void fail(j_common_ptr info) {
    struct jpeg *jpeg = (struct jpeg *)info;
    info->err->format_message(info, jpeg->message);
    longjmp(jpeg->escape, 1);
}

/* Broken data is a warning, after which the library goes on with what it has, as browsers do. */
static void ignore(j_common_ptr info, int level) {
    if (level < 0)
        info->err->num_warnings++;
}

static void say_nothing(j_common_ptr info) { (void)info; }

static void count_scans(j_common_ptr info) {
    struct jpeg *jpeg = (struct jpeg *)info;
    if (jpeg->info.input_scan_number > jpeg->most_scans) {
        snprintf(jpeg->message, sizeof jpeg->message, "more than %d scans", jpeg->most_scans);
        longjmp(jpeg->escape, 1);
    }
}

void kube_face_jpeg_free(struct jpeg *jpeg) {
    jpeg_destroy_decompress(&jpeg->info);
    free(jpeg);
}

static int create(struct jpeg *jpeg) {
    if (setjmp(jpeg->escape))
        return 1;
    jpeg_create_decompress(&jpeg->info);
    return 0;
}

/* NULL when there is no memory for it. */
struct jpeg *kube_face_jpeg_new(void) {
    struct jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (jpeg == NULL)
        return NULL;
    jpeg->info.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = fail;
    jpeg->errors.emit_message = ignore;
    jpeg->errors.output_message = say_nothing;
    if (create(jpeg)) {
        kube_face_jpeg_free(jpeg);
        return NULL;
    }
    jpeg->progress.progress_monitor = count_scans;
    jpeg->info.progress = &jpeg->progress;
    return jpeg;
}

/* `bytes` must stay where they are until `kube_face_jpeg_free`. */
int kube_face_jpeg_read_header(struct jpeg *jpeg, const uint8_t *bytes, size_t length, struct jpeg_header *header) {
    struct jpeg_decompress_struct *info = &jpeg->info;
    if (setjmp(jpeg->escape))
        return 1;
    jpeg_mem_src(info, bytes, length);
    jpeg_read_header(info, TRUE);
    int printing = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = printing ? JCS_CMYK : JCS_RGB;
    header->width = info->image_width;
    header->height = info->image_height;
    header->channels = printing ? 4 : 3;
    header->coefficients = 0;
    for (int i = 0; jpeg_has_multiple_scans(info) && i < info->num_components; i++) {
        const jpeg_component_info *part = &info->comp_info[i];
        uint64_t across = part->width_in_blocks + (uint64_t)part->h_samp_factor;
        uint64_t down = part->height_in_blocks + (uint64_t)part->v_samp_factor;
        header->coefficients += across * down * DCTSIZE2 * sizeof(JCOEF);
    }
    return 0;
}

/* Reads all scans but the only one. Of each 8 pixels of a side `eighths` are decoded, so that there are `width` and
 * `height` of them. The library itself takes no more than about `memory` bytes. */
int kube_face_jpeg_start(struct jpeg *jpeg, unsigned eighths, size_t memory, int most_scans, uint32_t *width,
                         uint32_t *height) {
    if (setjmp(jpeg->escape))
        return 1;
    jpeg->most_scans = most_scans;
    jpeg->info.scale_num = eighths;
    jpeg->info.scale_denom = 8;
    jpeg->info.mem->max_memory_to_use = (long)memory;
    jpeg_start_decompress(&jpeg->info);
    *width = jpeg->info.output_width;
    *height = jpeg->info.output_height;
    return 0;
}

/* `row` has room for all pixels of a row, `channels` bytes each. */
int kube_face_jpeg_read_row(struct jpeg *jpeg, uint8_t *row) {
    if (setjmp(jpeg->escape))
        return 1;
    if (jpeg->info.output_scanline >= jpeg->info.output_height)
        return 1;
    return jpeg_read_scanlines(&jpeg->info, &row, 1) != 1;
}

/* Why the last function failed; never NULL. */
const char *kube_face_jpeg_message(const struct jpeg *jpeg) { return jpeg->message; }
