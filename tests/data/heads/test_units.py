from facespeak_jax.data.heads.units import ARKIT, UNIT


def test_there_are_52_different_units():
    assert len(ARKIT) == len(set(ARKIT)) == 52


def test_the_order_is_that_of_arkit():
    assert ARKIT[0] == "eyeBlinkLeft"
    assert ARKIT[7] == "eyeBlinkRight"
    assert ARKIT[14:19] == ("jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose")
    assert ARKIT[51] == "tongueOut"
    assert [UNIT[name] for name in ARKIT] == list(range(52))


def test_every_left_has_its_right():
    assert {n.replace("Left", "Right") for n in ARKIT if "Left" in n} == {
        n for n in ARKIT if "Right" in n
    }
