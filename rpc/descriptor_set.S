/* build/gen/descriptors.binpb between two symbols; see descriptor_set.h. */
        .section .rodata
        .balign 8
        .global descriptor_set_start
descriptor_set_start:
        .incbin "build/gen/descriptors.binpb"
        .global descriptor_set_end
descriptor_set_end:
        .section .note.GNU-stack, "", @progbits
