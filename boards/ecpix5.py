"""LambdaConcept ECPIX-5 (docs.lambdaconcept.com): ECP5-5G with an FTDI FT2232H."""

from amaranth_boards import ecpix5

from . import PlatformBoard

__all__ = ["Ecpix545", "Ecpix585"]


class _Ecpix5(PlatformBoard):
    reset_button = ("rst", 0)
    flash = ("-b", "ecpix5")
    # The first of the two belongs to the programmer.
    port = "/dev/ttyUSB1"


class Ecpix545(_Ecpix5):
    """With the middle ECP5."""

    name = "ecpix5_45"
    title = "ECPIX-5 45F"
    device = "ecp5-45k"
    platform = ecpix5.ECPIX545Platform
    place_option = "--um5g-45k"


class Ecpix585(_Ecpix5):
    """With the largest ECP5."""

    name = "ecpix5_85"
    title = "ECPIX-5 85F"
    device = "ecp5-85k"
    platform = ecpix5.ECPIX585Platform
    place_option = "--um5g-85k"
