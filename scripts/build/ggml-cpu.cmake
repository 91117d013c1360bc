# Links the matmuls and the attention of infer/llamacpp into each of ggml's CPU libraries. A build for one machine does the same with
# the linker's --wrap. scripts/build/portable includes this file (CMAKE_PROJECT_INCLUDE); PRUNELLM_SOURCES is the folder infer/llamacpp.
cmake_language(DEFER CALL prunellm_wrap)

function(prunellm_wrap)
    get_target_property(libraries ggml-cpu MANUALLY_ADDED_DEPENDENCIES)
    foreach(library IN LISTS libraries)
        target_sources(${library} PRIVATE ${PRUNELLM_SOURCES}/tensor.c ${PRUNELLM_SOURCES}/attention.c ${PRUNELLM_SOURCES}/matmul.c)
        target_link_options(${library} PRIVATE
            -Wl,--wrap=ggml_compute_forward_flash_attn_ext
            -Wl,--wrap=ggml_cpu_extra_compute_forward
            -Wl,--wrap=ggml_cpu_extra_work_size)
    endforeach()
endfunction()
