"""The page in real headless Chromium: it draws, sorts, filters and chooses, and talks to nobody."""

import json
import shutil

import pytest
from run_folders import MadeUpRun, many_layers

from slrprune.report import write_report

EVIL = "<script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">.weight"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PATIENCE = 60_000  # milliseconds; a busy machine may take long, and how long is not tested
NAMES = (*many_layers(11), EVIL)


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this file."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium, and there is none on this machine")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Two pages: one run with an evil name among its layers, and two runs side by side."""
    folder = tmp_path_factory.mktemp("reports")
    one = MadeUpRun(names=NAMES, updates=60, epochs=6).write(folder / "one")
    other = MadeUpRun(updates=60, epochs=6, sparsity=0.9, method="OneShot()").write(
        folder / "<b>other</b>".replace("/", "")
    )
    return {"one": write_report([one], folder / "one.html"), "two": write_report([one, other], folder / "two.html")}


class Visit:
    """A page that is open, and what it said and asked for."""

    def __init__(self, browser, path, width=1280, scheme="light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.said, self.requests = [], []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.said.append("a dialog"), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-charts=drawn]", state="attached")

    def until(self, expression):
        """Waits until it is true; Playwright's own way needs eval, which the page's policy forbids."""
        for _ in range(PATIENCE // 100):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"never came true: {expression}")

    def shown(self):
        """Names of the layers in the table that are not filtered out, in their order."""
        return self.page.locator("table.sortable tbody tr:not([hidden]) .name").all_text_contents()


@pytest.fixture(scope="module")
def visit(browser, reports):
    """The page of one run at the width of a desk, shared by the tests that leave it as they found it."""
    found = Visit(browser, reports["one"])
    yield found
    found.context.close()


def test_it_draws_every_chart_without_an_error_and_without_a_request(visit, reports):
    page = visit.page
    assert (
        page.locator("[data-chart]").count()
        == page.locator("[data-chart] .main-svg").locator("xpath=..").locator("xpath=..").count()
        > 5
    )
    page.wait_for_selector(".layer-bars .main-svg")
    page.wait_for_selector(".histogram .main-svg")
    assert page.locator("#failed").is_hidden()
    assert visit.said == []
    assert [url for url in visit.requests if not url.startswith(("data:", "blob:"))] == [reports["one"].as_uri()]


def test_the_page_may_not_connect_to_anything(visit):
    attempt = "fetch('https://example.com').then(() => 'connected', (error) => error.name)"
    assert visit.page.evaluate(attempt) == "TypeError"
    assert "Content Security Policy" in visit.said.pop(0)
    visit.said.clear()


def test_an_evil_name_is_shown_and_does_nothing(visit):
    page = visit.page
    assert EVIL in visit.shown()
    assert page.title() == "SLR on digits – slrprune report"  # noqa: RUF001
    page.locator("table.sortable").get_by_role("button", name=EVIL, exact=True).click()
    assert page.locator(".choice option:checked").text_content() == EVIL
    assert page.locator(".pixels").get_attribute("alt").startswith(f"Mask of {EVIL} on ")
    ticks = page.locator(".layer-bars .ytick text").all_text_contents()
    assert ticks[-1].startswith("…")
    assert EVIL.removesuffix(".weight").endswith(ticks[-1][1:])
    assert page.locator("main img:not(.pixels)").count() == 0
    assert page.title() != "evil"
    assert visit.said == []


def test_headers_sort_by_value_both_ways(visit):
    page = visit.page
    rows = json.loads(page.locator("#data").text_content())["runs"][0]
    sparsity = dict(
        zip(NAMES, next(entry for entry in rows["measures"] if entry["key"] == "sparsity")["values"], strict=True)
    )
    header = page.locator("table.sortable thead th").nth(3)
    header.locator("button").press("Enter")  # by keyboard
    assert header.get_attribute("aria-sort") == "ascending"
    rising = [sparsity[name] for name in visit.shown()]
    assert rising == sorted(rising)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert [sparsity[name] for name in visit.shown()] == rising[::-1]
    first = page.locator("table.sortable thead th").first
    first.locator("button").click()
    assert page.locator("[aria-sort]").count() == 1
    assert visit.shown()[1:] == list(many_layers(11))  # 2 before 10, as people count


def test_the_filter_leaves_what_it_names_in_table_and_bars(visit):
    page = visit.page
    page.get_by_label("Filter by name").fill("Blocks.1")
    assert visit.shown() == ["stages.0.blocks.1.conv.weight"]
    assert page.locator(".found").text_content() == "1 of 12 layers"
    visit.until("document.querySelectorAll('.layer-bars .points .point').length === 1")
    page.get_by_label("Filter by name").fill("")
    assert len(visit.shown()) == 12


def test_the_chosen_layer_is_the_same_everywhere(visit):
    page = visit.page
    page.get_by_label("Layer shown").select_option(NAMES[5])
    assert page.locator("tr[aria-current] .name").text_content() == NAMES[5]
    layer = json.loads(page.locator("#data").text_content())["runs"][0]["layers"][5]
    assert page.locator(".pixels").get_attribute("src") == layer["image"]["uri"]
    assert (
        page.locator(".pixels").evaluate("(image) => image.decode().then(() => image.naturalHeight)")
        == layer["image"]["rows"]
    )
    cells = page.locator(".histogram tbody tr").first.locator("td").all_text_contents()
    assert cells == [str(layer["histogram"]["before"][0]), str(layer["histogram"]["after"][0])]


def test_the_bars_show_the_measure_that_is_chosen(visit):
    page = visit.page
    page.locator(".measure").select_option("macs")
    visit.until("document.querySelector('.layer-bars .xtitle').textContent === 'MACs, k'")
    assert page.locator(".layer-bars .points .point").count() == 24  # dense and left
    page.locator(".measure").select_option("sparsity")


def test_the_theme_changes_page_and_charts(visit):
    page = visit.page
    background = "getComputedStyle(document.body).backgroundColor"
    line = "document.querySelector('[data-chart$=accuracy] .js-line').style.stroke"
    light = page.evaluate(f"[{background}, {line}]")
    page.get_by_label("Theme").select_option("dark")
    visit.until(f"{line} !== '{light[1]}'")
    assert page.evaluate(background) == "rgb(17, 22, 27)"
    page.get_by_label("Theme").select_option("auto")
    visit.until(f"{line} === '{light[1]}'")


def test_the_command_can_be_copied(visit):
    page = visit.page
    page.get_by_role("button", name="Copy").first.click()
    visit.until("document.querySelector('[data-copy]').textContent === 'Copied'")


def test_every_chart_has_its_table_and_every_region_its_name(visit):
    page = visit.page
    for chart in page.locator("figure.chart:has([data-chart])").all():
        assert chart.locator("details table caption").count() == 1
        assert chart.locator("[role=img]").get_attribute("aria-label").startswith("Chart: ")
    assert page.locator("[role=region]:not([aria-label]), section:not([aria-labelledby]), th:not([scope])").count() == 0
    assert page.locator("main, header, nav, footer").count() == 4
    keys = page.locator("[id]").evaluate_all("(all) => all.map((element) => element.id)")
    assert len(keys) == len({*keys})


def test_two_runs_on_a_phone_in_the_dark(browser, reports):
    visit = Visit(browser, reports["two"], width=360, scheme="dark")
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("article.run:visible").count() == 1
    page.get_by_label("Run shown below").select_option("<b>other<b>")
    assert page.locator("article.run:visible").get_attribute("id") == "run-1"
    page.wait_for_selector("#run-1 .layer-bars .main-svg")
    visit.until("document.querySelectorAll('#run-1 [data-chart]:not(.drawn)').length === 0")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("nav a").nth(1).get_attribute("href") == "#run-1-headline"
    assert visit.said == []
    visit.context.close()
