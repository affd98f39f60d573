"""Settings of clock generators: the fastest output not above a target.

Limits are those of Lattice FPGA-TN-02200 (ECP5 sysCLOCK), FPGA-TN-02052 (iCE40 sysCLOCK) and Gowin
UG286.
"""

from collections.abc import Iterator

from amaranth.hdl import Const, Instance, Signal

from . import Pll

__all__ = ["ecp5_pll", "ice40_pll", "gowin_pll"]


def ecp5_pll(input_hz: int, target_hz: float) -> Pll | None:
    """EHXPLLL: input / CLKI_DIV * CLKFB_DIV * CLKOP_DIV is the oscillator, 400 to 800 MHz."""
    def settings() -> Iterator[tuple[float, tuple[int, int, int]]]:
        for before in range(1, 17):
            if not 10e6 <= input_hz / before <= 400e6:
                continue
            for times in range(1, 81):
                output_hz = input_hz / before * times
                if not 10e6 <= output_hz <= min(target_hz, 400e6):
                    continue
                after = round(600e6 / output_hz)
                if 1 <= after <= 128 and 400e6 <= output_hz * after <= 800e6:
                    yield output_hz, (before, times, after)

    # Of equal frequencies the one with the least division.
    output_hz, (before, times, after) = max(
        settings(), key=lambda item: (item[0], -item[1][0]), default=(0.0, (0, 0, 0)))
    if not output_hz:
        return None

    def create(clock: Signal, made: Signal, locked: Signal) -> Instance:
        return Instance(
            "EHXPLLL", a_ICP_CURRENT="12", a_LPF_RESISTOR="8", p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA", p_CLKOP_ENABLE="ENABLED", p_CLKI_DIV=before,
            p_CLKFB_DIV=times, p_CLKOP_DIV=after, p_CLKOP_CPHASE=after // 2, p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP", i_CLKI=clock, i_CLKFB=made, o_CLKOP=made, o_LOCK=locked,
            i_RST=Const(0), i_STDBY=Const(0), i_PHASESEL0=Const(0), i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1), i_PHASESTEP=Const(1), i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0))

    return Pll(output_hz, create)


def ice40_pll(input_hz: int, target_hz: float, from_pad: bool) -> Pll | None:
    """SB_PLL40_CORE, or _PAD where the pin belongs to the PLL: the oscillator
    runs at input / (DIVR + 1) * (DIVF + 1), 533 to 1066 MHz."""
    def settings() -> Iterator[tuple[float, tuple[int, int, int]]]:
        for divr in range(16):
            compared_hz = input_hz / (divr + 1)
            if not 10e6 <= compared_hz <= 133e6:
                continue
            for divf in range(128):
                oscillator_hz = compared_hz * (divf + 1)
                for divq in range(1, 7):
                    output_hz = oscillator_hz / 2**divq
                    if 533e6 <= oscillator_hz <= 1066e6 and 16e6 <= output_hz \
                            <= min(target_hz, 275e6):
                        yield output_hz, (divr, divf, divq)

    output_hz, (divr, divf, divq) = max(
        settings(), key=lambda item: (item[0], -item[1][0]), default=(0.0, (0, 0, 0)))
    if not output_hz:
        return None
    compared_hz = input_hz / (divr + 1)
    filter_range = 1 + sum(compared_hz >= limit for limit in (17e6, 26e6, 44e6, 66e6, 101e6))

    def create(clock: Signal, made: Signal, locked: Signal) -> Instance:
        kind, source = (("SB_PLL40_PAD", {"i_PACKAGEPIN": clock}) if from_pad else
                        ("SB_PLL40_CORE", {"i_REFERENCECLK": clock}))
        return Instance(
            kind, **source, p_FEEDBACK_PATH="SIMPLE", p_DIVR=Const(divr, 4),
            p_DIVF=Const(divf, 7), p_DIVQ=Const(divq, 3), p_FILTER_RANGE=Const(filter_range, 3),
            o_PLLOUTCORE=made, o_LOCK=locked, i_RESETB=Const(1), i_BYPASS=Const(0))

    return Pll(output_hz, create)


def gowin_pll(input_hz: int, target_hz: float, oscillator_mhz: tuple[int, int], device: str
              ) -> Pll | None:
    """rPLL: input / (IDIV + 1) * (FBDIV + 1) is the output, times ODIV the oscillator.

    Parameters
    ----------
    oscillator_mhz : (int, int)
        Its range.
    device : str
        What the primitive calls the part.
    """
    def settings() -> Iterator[tuple[float, tuple[int, int, int]]]:
        for idiv in range(64):
            if not 3e6 <= input_hz / (idiv + 1) <= 400e6:
                continue
            for fbdiv in range(64):
                output_hz = input_hz / (idiv + 1) * (fbdiv + 1)
                for odiv in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                    if output_hz <= target_hz and \
                            oscillator_mhz[0] <= output_hz * odiv / 1e6 <= oscillator_mhz[1]:
                        yield output_hz, (idiv, fbdiv, odiv)

    output_hz, (idiv, fbdiv, odiv) = max(
        settings(), key=lambda item: (item[0], -item[1][0]), default=(0.0, (0, 0, 0)))
    if not output_hz:
        return None

    def create(clock: Signal, made: Signal, locked: Signal) -> Instance:
        return Instance(
            "rPLL", p_FCLKIN=f"{input_hz / 1e6:g}", p_DEVICE=device, p_IDIV_SEL=idiv,
            p_FBDIV_SEL=fbdiv, p_ODIV_SEL=odiv, p_DYN_IDIV_SEL="false", p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false", p_PSDA_SEL="0000", p_DYN_DA_EN="false", p_DUTYDA_SEL="1000",
            p_CLKOUT_FT_DIR=Const(1, 1), p_CLKOUTP_FT_DIR=Const(1, 1), p_CLKOUT_DLY_STEP=0,
            p_CLKOUTP_DLY_STEP=0, p_CLKFB_SEL="internal", p_CLKOUT_BYPASS="false",
            p_CLKOUTP_BYPASS="false", p_CLKOUTD_BYPASS="false", p_DYN_SDIV_SEL=2,
            p_CLKOUTD_SRC="CLKOUT", p_CLKOUTD3_SRC="CLKOUT", i_CLKIN=clock, o_CLKOUT=made,
            o_LOCK=locked, i_RESET=Const(0), i_RESET_P=Const(0), i_CLKFB=Const(0),
            i_FBDSEL=Const(0, 6), i_IDSEL=Const(0, 6), i_ODSEL=Const(0, 6), i_PSDA=Const(0, 4),
            i_DUTYDA=Const(0, 4), i_FDLY=Const(0, 4))

    return Pll(output_hz, create)
