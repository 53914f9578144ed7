// The bytes of clip_merges.txt, between two symbols that clip_vocabulary.cpp reads. Assembler and
// not an array: a compiler takes seconds over half a million initialisers.
    .section .rodata
    .balign 16
    .globl tt_clip_merges_begin
    .hidden tt_clip_merges_begin
tt_clip_merges_begin:
    .incbin TT_CLIP_MERGES
    .globl tt_clip_merges_end
    .hidden tt_clip_merges_end
tt_clip_merges_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits
