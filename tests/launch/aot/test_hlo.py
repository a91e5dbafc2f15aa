import pytest

from launch.aot import hlo
from launch.aot.hlo import Collective

HEAD = "HloModule jit_step, is_scheduled=true, num_partitions=8\n\n"
LAYOUT = "{1,0:T(8,128)(2,1)S(1)}"


def read(*lines: str) -> list[Collective]:
    """The collectives of a program of these lines."""
    body = "\n".join(f"  {line}" for line in lines)
    text = f"{HEAD}ENTRY %main (p: f32[8,4]) -> f32[8,4] {{\n{body}\n}}\n"
    return hlo.collectives(hlo.parse(text))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "%r = f32[8,4]{1,0:T(8,128)} all-reduce(%p), channel_id=1, "
            "replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add",
            Collective("all-reduce", 4, 1, 128, 192),  # 2 · 128 · 3/4
        ),
        (
            f"ROOT %g = bf16[8,4]{LAYOUT} all-gather(%p), replica_groups=[2,4]<=[8], "
            "dimensions={0}",
            Collective("all-gather", 4, 1, 64, 48),
        ),
        (
            "%s = f32[2,4]{1,0} reduce-scatter(%p), replica_groups=[4,2]<=[2,4]T(1,0), "
            "dimensions={0}, to_apply=%add",
            Collective("reduce-scatter", 2, 1, 64, 32),
        ),
        (
            "%a = bf16[8,2,4]{0,2,1} all-to-all(%p), "
            "replica_groups=mesh['axis_0'=1,'axis_1'=2,'axis_2'=4], "
            "device_ids=([2,4]T(1,0)) {'axis_1'}, dimensions={1}",
            Collective("all-to-all", 2, 1, 128, 64),
        ),
        (
            "%a = bf16[8,2,4]{0,2,1} all-to-all(%p), "
            "replica_groups=mesh['x'=2,'y'=4] {'x','y':(1)2}, dimensions={1}",
            Collective("all-to-all", 4, 1, 128, 96),
        ),
        (
            "%c = u8[16]{0} collective-permute(%p), source_target_pairs={{0,1},{1,0}}",
            Collective("collective-permute", 8, 1, 16, 16),
        ),
        (
            "%t = (f32[2]{0}, pred[3]{0}, /*index=2*/f32[]) all-reduce(%p, %q, %s), "
            "replica_groups={}, to_apply=%add",
            Collective("all-reduce", 8, 1, 15, 26),
        ),
    ],
)
def test_every_kind_in_every_notation(line, expected):
    assert read(line) == [expected]


def test_what_is_started_and_done_counts_once_and_as_its_result():
    found = read(
        "%s = (bf16[8,2]{1,0}, bf16[32,2]{1,0}) all-gather-start(%p), replica_groups=[2,4]<=[8]",
        "%d = bf16[32,2]{1,0} all-gather-done(%s)",
        "%c = (f32[5]{0}, f32[5]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%p), "
        "source_target_pairs={{0,1}}",
        "%e = f32[5]{0} collective-permute-done(%c)",
        "%r = f32[3]{0} all-reduce-start(%p), replica_groups=[1,8]<=[8], to_apply=%add",
        "%f = f32[3]{0} all-reduce-done(%r)",
        "%x = f32[3]{0} fusion(%all-reduce.3), kind=kLoop, calls=%none",
    )
    assert found == [
        Collective("all-gather", 4, 1, 128, 96),
        Collective("all-reduce", 8, 1, 12, 21),
        Collective("collective-permute", 8, 1, 20, 20),
    ]


LOOPS = (
    HEAD
    + """%fused (a: f32[4]) -> f32[4] {
  %g = f32[4]{0} all-gather(%a), channel_id=7, replica_groups=[4,2]<=[8], dimensions={0}, METADATA
}

%hidden (a: f32[4]) -> f32[4] {
  %h = f32[4]{0} all-gather(%a), channel_id=7, replica_groups=[4,2]<=[8], dimensions={0}
}

%all-reduce-scatter.1 (a: f32[8]) -> f32[1] {
  %r = f32[8]{0} all-reduce(%a), channel_id=9, replica_groups=[1,8]<=[8], to_apply=%add
  ROOT %s = f32[1]{0} dynamic-slice(%r, %n), dynamic_slice_sizes={1}
}

%all-reduce-scatter.2 (a: f32[8], b: f32[8]) -> (f32[1], f32[1]) {
  %r = (f32[8]{0}, f32[8]{0}) all-reduce(%a, %b), channel_id=9, replica_groups=[1,8]<=[8]
  ROOT %s = (f32[1]{0}, f32[1]{0}) fusion(%r), kind=kLoop, calls=%slices
}

%inner.body (a: f32[4]) -> f32[4] {
  %f = f32[4]{0} fusion(%a), kind=kCustom, calls=%fused
}

%inner.condition (a: s32[]) -> pred[] {
  %n = s32[]{:T(128)} constant(5)
  ROOT %lt = pred[]{:T(512)} compare(%a, %n), direction=LT
}

%body (a: f32[4]) -> f32[4] {
  %w = f32[4]{0} while(%a), condition=%inner.condition, body=%inner.body
}

%condition (a: s32[]) -> pred[] {
  ROOT %lt = pred[]{:T(512)} compare(%a, %m), direction=LT
}

ENTRY %main (p: f32[4]) -> f32[4] {
  %w = f32[4]{0} while(%p), condition=%condition, body=%body, """
    + """backend_config={"known_trip_count":{"n":"3"}}
  %x = f32[4]{0} fusion(%w), kind=kCustom, calls=%hidden
  %z = (f32[1]{0}, f32[1]{0}) fusion(%x, %x), kind=kCustom, calls=%all-reduce-scatter.2
  ROOT %y = f32[1]{0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1
}
"""
)


def test_loops_multiply_and_what_is_repeated_is_one_exchange():
    program = hlo.parse(LOOPS.replace("METADATA", 'metadata={op_name="jit(f)/gather" id=2}'))
    assert program.loops == (3, 15)
    assert hlo.collectives(program) == [
        Collective("all-gather", 2, 15, 15 * 16, 15 * 8, "jit(f)/gather"),
        Collective("reduce-scatter", 8, 2, 96, 84),  # of one array and of two under one number
    ]


def test_work_done_twice_is_told_from_names_that_only_mention_it():
    text = (
        "  %fusion.3.remat = f32[4]{0} fusion(%a), calls=%f\n"
        "  ROOT %copy.1.remat2.1 = f32[4]{0} copy(%fusion.3.remat)\n"
        '  %dot.1 = f32[4]{0} dot(%a), metadata={op_name="jit(f)/rematted_computation/dot"}\n'
    )
    assert hlo.rematerialised(text) == 2


def test_arrays_gathered_whole_are_named():
    log = (
        "W1123 spmd_partitioner.cc:654] [SPMD] Involuntary full rematerialization. The compiler "
        "cannot go from sharding {devices=[1,4]<=[4]} to {devices=[4,1]<=[4]} efficiently for HLO "
        'operation %sin.5 = bf16[64,4] reshape(%x), metadata={op_name="jit(f)/sin" id=8}. As\n'
        "W1123 llo_module.h:502] The log function has NOT been set for the LloModule.\n"
    )
    assert hlo.replicated(2 * log) == ["jit(f)/sin"]
    assert hlo.replicated("") == []
