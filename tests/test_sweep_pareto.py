"""The command pareto: its table, its options, its page in a real browser."""

import random
import shutil

import pytest
from sweep_results import attempt, design, write_results

from nmahw.cli import run as command_line
from nmahw.sweep.columns import COLUMNS
from nmahw.sweep.page import page
from nmahw.sweep.store import Store


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path)


def test_the_table_names_commands_that_build_again(results, capsys):
    assert command_line(["pareto", str(results), "--where", "accuracy > 0.9"]) == 0
    told = capsys.readouterr().out
    assert "2 of 2 designs are on the front" in told
    assert f"nmahw pareto {results} --rebuild 1 --out point-1" in told
    assert "1 designs could not be built" in told


@pytest.mark.parametrize("arguments, said", [
    (["--x", "luts"], "did you mean 'lut'"), (["--x", "LUT"], "did you mean 'lut'"),
    (["--x", "device"], "column must be one of"),
    (["--y", "lut"], "different columns"), (["--where", "lut < 0"], "none of 4 does"),
    (["--x", "seeds"], "less or more is better"), (["--rebuild", "99"], "not 99"),
    (["--rebuild", "5"], "one that was built, not 5"),
])
def test_bad_options(results, capsys, arguments, said):
    assert command_line(["pareto", str(results), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_page_escapes_names_and_takes_any_figures():
    odd = "</script><img src=x onerror=alert(1)>\"'&"
    point = {**dict.fromkeys(COLUMNS), "id": 1, "model": odd, "bits": odd, "arithmetic": odd,
             "array": odd, "device": odd}
    for x, y in ((0, 0), (1, 2**62), (5e-324, 1e18), (-3, 4)):
        points = [{**point, "lut": x, "images_per_s": y}, {**point, "lut": y, "images_per_s": x}]
        text = page(odd, points, [True, False], "lut", "images_per_s", [odd, odd])
        assert "<img" not in text and text.count("</script>") == 2


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_shows_names_filters_and_commands(results, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    html = tmp_path / "front.html"
    assert command_line(["pareto", str(results), "--html", str(html)]) == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"),
                                         args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        problems, asked = [], []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(html.as_uri())
        assert page.locator("circle.point").count() == 3
        assert page.locator("circle.point.front").count() == 2
        page.locator("circle.point").nth(1).hover()
        assert page.inner_text("#about").startswith('digits 4x4, <b>&"odd, 2x2 on ice40-hx8k: 300')
        page.locator("circle.point").nth(0).click()
        assert page.inner_text("#command") == (
            f"nmahw pareto {results} --rebuild 1 --out point-1")
        page.select_option("#device", "ecp5-25k")
        assert page.inner_text("#count") == "1"
        assert page.locator("circle.point:visible").count() == 1
        assert page.locator("tbody tr:visible").count() == 1
        page.select_option("#device", "")
        page.select_option("#arithmetic", '<b>&"odd')
        assert page.locator("circle.point:visible").count() == 1
        assert page.locator(".line:visible").count() == 0
        page.select_option("#arithmetic", "")
        page.screenshot(path=str(tmp_path / "front.png"))
        # Nothing but the page itself is asked for, and its policy holds.
        assert asked == [html.as_uri()] and not problems
        page.evaluate("() => { const s = document.createElement('script'); "
                      "s.textContent = 'window.odd = 1'; document.body.append(s); }")
        assert page.evaluate("() => window.odd") is None
        browser.close()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_takes_ten_thousand_designs(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    dice, path, html = random.Random(1), tmp_path / "r.sqlite", tmp_path / "front.html"
    with Store(path, write=True) as store:
        store.add([design(f"d{i}", cycles=dice.randrange(100, 10**6)) for i in range(10_000)],
                  [attempt(f"d{i}", 1, lut=dice.randrange(100, 9000),
                           device=("ecp5-25k", "ecp5-45k")[i % 2]) for i in range(10_000)])
    assert command_line(["pareto", str(path), "--html", str(html)]) == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"),
                                         args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(html.as_uri())
        assert page.locator("circle.point").count() == 10_000
        # The table has the front and as many more as a browser lays out at once.
        assert page.locator("tbody tr").count() == 500
        fronts = page.locator("circle.point.front").count()
        assert fronts == page.locator("tbody tr.front").count() > 0
        assert "500 of 10,000 designs" in page.inner_text("main")
        page.select_option("#device", "ecp5-25k")
        assert page.inner_text("#count") == "5,000"
        row = page.locator("tbody tr.front:visible").first
        number = row.locator("td").first.inner_text().replace(",", "")
        row.click()
        assert f"--rebuild {number} " in page.inner_text("#command")
        browser.close()
