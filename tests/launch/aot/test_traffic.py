import pytest

from launch.aot import hlo, traffic

HEAD = "HloModule jit_f, is_scheduled=true, num_partitions=1\n\n"
TILED = "{1,0:T(8,128)}"
FAST = "{1,0:T(8,128)S(1)}"
CYCLES = 'backend_config={"window_config":{},"estimated_cycles":"70"}'


def program(*lines, before=""):
    """A program of these lines, with two arrays in HBM."""
    given = [f"%p = f32[16,128]{TILED} parameter(0)", f"%q = f32[16,128]{TILED} parameter(1)"]
    body = "\n".join(f"  {line}" for line in (*given, *lines))
    return hlo.parse(f"{HEAD}{before}\nENTRY %main (p: f32[8,4]) -> f32[8,4] {{\n{body}\n}}\n")


WHOLE = 16 * 128 * 4


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (f"%a = f32[16,128]{TILED} add(%p, %q)", 3 * WHOLE),
        (f"%a = f32[16,128]{FAST} add(%p, %q), {CYCLES}", 2 * WHOLE),
        # Tiles are whole: 9 rows take 16, 3 columns 128.
        ("%a = bf16[9,3]{1,0:T(8,128)(2,1)} convert(%p)", WHOLE + 16 * 128 * 2),
        ("%a = f32[3,9]{0,1:T(8,128)} copy(%p)", WHOLE + 16 * 128 * 4),
        ("%a = f32[100]{0:T(128)} reduce(%p, %q), to_apply=%add", 2 * WHOLE + 512),
        (f"%a = (f32[16,128]{TILED}, s32[]) custom-call(%p), custom_call_target=x", 2 * WHOLE + 4),
        (f"ROOT %a = (f32[16,128]{TILED}) tuple(%p)", 0),
        (f"%a = f32[16,128]{TILED} get-tuple-element(%p), index=0", 0),
    ],
)
def test_an_instruction_moves_what_is_in_hbm(line, moved):
    assert traffic.moved(program(line)) == moved


def test_asynchronous_copies_count_where_they_start_and_as_what_arrives():
    copied = program(
        f"%s = (f32[16,128]{FAST}, f32[16,128]{TILED}, u32[]{{:S(2)}}) copy-start(%p)",
        f"%d = f32[16,128]{FAST} copy-done(%s)",
        f"%t = ((f32[16,128]{TILED}), f32[8,128]{FAST}, s32[]{{:S(2)}}) slice-start(%q)",
        f"%e = f32[8,128]{FAST} slice-done(%t)",
    )
    assert traffic.moved(copied) == WHOLE + WHOLE / 2
    back = f"%s = (f32[16,128]{TILED}, f32[16,128]{TILED}, u32[]{{:S(2)}}) copy-start(%p)"
    assert traffic.moved(program(back)) == 2 * WHOLE


FUSION = f"""%fused (a: f32[16,128], b: f32[16,128], c: s32[]) -> f32[16,128] {{
  %a = f32[16,128]{TILED} parameter(0)
  %b = f32[16,128]{TILED} parameter(1)
  %c = s32[] parameter(2)
  %e = f32[16,128]{TILED} bitcast(%b)
  %slice = f32[1,128]{TILED} dynamic-slice(%e, %c, %c), dynamic_slice_sizes={{1,128}}
  ROOT %u = f32[16,128]{TILED} dynamic-update-slice(%a, %slice, %c, %c)
}}
"""


def test_a_fusion_reads_and_writes_slices():
    given = f"%f = f32[16,128]{TILED} fusion(%p, %q, %i), kind=kLoop, calls=%fused"
    row = 8 * 128 * 4  # a tile at least
    assert traffic.moved(program(given, before=FUSION)) == 2 * row
    used_whole = FUSION.replace("bitcast(%b)", "negate(%b)")
    assert traffic.moved(program(given, before=used_whole)) == WHOLE + row


LOOP = f"""%condition (s: (s32[])) -> pred[] {{
  %n = s32[]{{:T(128)}} constant(5)
  ROOT %lt = pred[] compare(%s, %n), direction=LT
}}

%body (s: (f32[16,128])) -> f32[16,128] {{
  %x = f32[16,128]{TILED} get-tuple-element(%s), index=0
  ROOT %y = f32[16,128]{TILED} negate(%x), {CYCLES}
}}
"""


def test_loops_and_cycles():
    looped = program(
        f"%w = f32[16,128]{TILED} while(%p), condition=%condition, body=%body",
        f"%a = f32[16,128]{FAST} add(%p, %q), {CYCLES}",
        before=LOOP,
    )
    within = 8  # of the condition: its number lies in HBM, as far as the text tells
    assert traffic.moved(looped) == pytest.approx(5 * 2 * WHOLE + 2 * WHOLE, abs=5 * 600 + within)
    assert traffic.cycles(looped) == 5 * 70 + 70
