"""Every format: its text, where each part of it stands, and an answer quoted from a real file of it.

`files/` holds one file of each, made by those who make them: LibreOffice (ferry.docx, boatshed.odt, languages.pdf), python-pptx,
openpyxl, reportlab (pump-manual.pdf), EbookLib, nbformat, Python's email, msoffcrypto (secret.docx); the rest by hand.
`files/unread/` holds what cannot be read.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from conftest import Workplace
from hypothesis import given
from hypothesis import strategies as st
from test_worker import objects_pdf, slow_pdf

from rag.assistant import Assistant
from rag.documents import Unreadable, read_document
from rag.embeddings import MiniLM
from rag.folder import list_files
from rag.formats import MODULES, extract
from rag.formats.extracted import Lines
from rag.formats.tables import header_span
from rag.index import build_index, index_status
from rag.library import Library
from rag.quotes import header_of, place_of, verify_answer
from rag.settings import Settings
from rag.terminal import report_text
from rag.types import BuildReport, Document

FILES = Path(__file__).with_name("files")

# file, question, what the quote holds, its place, its table's header
ASKED = [
    ("chapel.txt", "When was the chapel bell cast?", "cast in Utrecht in 1703", "", ""),
    ("greenhouse.md", "Why were the lemon trees wrapped in sacking?", "The heating failed", "", ""),
    ("greenhouse.md", "How many litres a week does the fig get?", "| Fig     |             9 |", "", "| Plant   | Litres a week |"),
    ("kilns.rst", "How long does the bottle kiln take to cool?", "three days", "", ""),
    (
        "kilns.rst",
        "What fuel does the salt kiln burn?",
        "| Salt    | 1,300 °C    | oil",
        "",
        "| Kiln    | Temperature | Fuel     |",
    ),
    ("orchard.org", "On what was the quince grafted?", "grafted on hawthorn", "", ""),
    ("tidemill.html", "Of what wood is the wheel of the tide mill?", "Its wheel is of elm", "", ""),
    ("tidemill.html", "What are the hours of the mill in summer?", "Summer | 9–19", "", "Season | Hours | Guided tour"),
    ("pump-manual.pdf", "How long does the warranty of the pump last?", "thirty months", "page 3", ""),
    (
        "pump-manual.pdf",
        "What is the capacity of pump model B?",
        "B | 45 litres a minute",
        "page 2",
        "Model | Capacity | Weight | Remark",
    ),
    ("ferry.docx", "How many cars does the ferry to Sandwick carry?", "at most forty cars", "section Crossings", ""),
    (
        "ferry.docx",
        "What is the return fare of a camper van?",
        "Camper van | 34 euros | 61",
        "section Fares",
        "Vehicle | Single | Return",
    ),
    ("boatshed.odt", "When was the boat shed built?", "built in 1932", "", ""),
    ("boatshed.odt", "How long is the boat Gannet?", "Gannet | 11 metres", "section Stores", "Boat | Length | Crew"),
    ("reservoir.pptx", "For how many days was the old reservoir empty?", "eleven days", "slide 2", ""),
    (
        "reservoir.pptx",
        "What is the price of the pipeline?",
        "Pipeline | Nordrohr | 265,000 euros",
        "slide 3",
        "Part | Builder | Price",
    ),
    (
        "nursery.xlsx",
        "What is the price of a quince tree?",
        "Tree: Quince | Height: 1.4 m | Price: €31.25",
        "sheet Prices, row 7",
        "",
    ),
    ("nursery.xlsx", "What is the telephone number of Jon Lien?", "Telephone: 555-0177", "sheet Staff, row 3", ""),
    ("pottery.csv", "What is the price of the bowl?", "Item: Bowl | Size: 30 cm, Ø | Price: 24 €", "row 3", ""),
    ("stations.tsv", "When was Millbridge station opened?", "station: Millbridge | platforms: 2 | opened: 1874", "row 3", ""),
    ("keeper.epub", "What did the storm break?", "eleven panes", "chapter The Storm", ""),
    ("dredging.eml", "When does the dredging of the inner harbour begin?", "second of April", "", ""),
    ("tides.ipynb", "Why was the sensor replaced?", "salt had eaten its cable", "cell 3", ""),
    ("crew.json", "What is the rank of Jon Lien?", "name: Jon Lien | rank: engineer", "record 2", ""),
    ("lifeboat.jsonl", "Where was the missing kayak found?", "asleep on the beach", "record 2", ""),
    ("tariff.py", "Up to which length do boats pay nothing?", "FREE_METRES = 6", "", ""),
]


def read(name: str) -> Document:
    listed = next(file for file in list_files(FILES)[0] if file.source == name)
    return read_document(FILES, listed, 2**25)


def text_of(data: bytes, suffix: str) -> str:
    return extract(data, suffix).text


def reason(data: bytes, suffix: str) -> str:
    with pytest.raises(Unreadable) as caught:
        extract(data, suffix)
    return str(caught.value)


def outcome(data: bytes, suffix: str) -> str:
    """The text, or the reason why there is none."""
    try:
        return extract(data, suffix).text
    except Unreadable as error:
        return str(error)


# --- real files -------------------------------------------------------------------------------------------------------


def test_there_is_a_file_of_every_format() -> None:
    alike = {".htm", ".xhtml", ".docm", ".pptm", ".xlsm", ".ndjson"}  # other names of what is there
    assert {Path(name).suffix for name, *_ in ASKED} >= set(MODULES) - alike


@pytest.mark.parametrize(("name", "words", "place", "header"), [(name, *rest) for name, _, *rest in ASKED])
def test_a_file_says_what_it_holds_and_where(name: str, words: str, place: str, header: str) -> None:
    document = read(name)
    at = document.text.index(words)
    assert place_of(document, at) == place
    assert header_of(document, at).startswith(header)
    assert bool(header_of(document, at)) == bool(header)


@pytest.mark.parametrize("name", sorted({name for name, *_ in ASKED}))
def test_reading_is_deterministic(name: str) -> None:
    assert read(name) == read(name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM) -> tuple[Path, BuildReport]:
    index = tmp_path_factory.mktemp("formats") / "index"
    return index, build_index(FILES, index, encoder=encoder)


@pytest.fixture(scope="module")
def assistant(built: tuple[Path, BuildReport], _one_model: None) -> Iterator[Assistant]:
    with Assistant.open(Settings.load(sources=FILES, index=built[0], threshold=0)) as opened:
        yield opened


@pytest.mark.parametrize(("name", "question", "words", "place", "header"), ASKED)
def test_a_question_is_answered_from_a_file_of_every_format(
    assistant: Assistant, name: str, question: str, words: str, place: str, header: str
) -> None:
    answer = assistant.ask(question)
    assert verify_answer(answer, FILES) == []
    quotes = [quote for quote in answer.quotes if quote.source == name and words in quote.text]
    assert quotes, [(quote.source, quote.text) for quote in answer.quotes]
    assert quotes[0].place == place or quotes[0].text.index(words) > 0
    assert quotes[0].header.startswith(header)
    assert quotes[0].page == (int(place.split()[1]) if place.startswith(("page", "slide")) else None)


BOATS = (
    "Auk Bittern Coot Curlew Dipper Dunlin Egret Eider Fulmar Gannet Grebe Guillemot Gull Heron Ibis Kite Knot Lapwing Merlin "
    "Osprey Owl Petrel Pipit Plover Puffin Rail Raven Razorbill Robin Ruff Shag Shearwater Skua Snipe Stilt Stint Stork Teal Tern"
).split()


def long_table(column: str, suffix: str) -> bytes:
    """Many rows under one header, cut over several chunks and, in PDF, over two pages."""
    rows = [("Boat", column, "Colour"), *((name, str(7 * i), "grey") for i, name in enumerate(BOATS, 1))]
    if suffix == ".pdf":
        return pdf(rows_of(rows[:20], 760), rows_of(rows[20:], 760))
    return "\n".join(["| {} | {} | {} |".format(*row) for row in (rows[0], ("---",) * 3, *rows[1:])]).encode()


@pytest.mark.parametrize("suffix", [".md", ".pdf"])
def test_a_row_far_down_a_long_table_is_found_by_its_header_and_quoted_with_it(empty: Workplace, suffix: str) -> None:
    """Only their headers tell the three tables apart: the same boats, the same figures."""
    for name, column in [("one", "Capacity"), ("two", "Length"), ("three", "Weight")]:
        empty.write(f"{name}{suffix}", long_table(column, suffix))
    empty.build()
    with empty.open() as assistant:
        answer = assistant.ask("What is the length of the boat Skua?")
    assert verify_answer(answer, empty.sources) == []
    quote = answer.quotes[0]
    assert quote.source == f"two{suffix}"
    assert "Skua | 231" in " ".join(quote.text.split())
    assert quote.header.strip("| ") == "Boat | Length | Colour"
    assert quote.page == (2 if suffix == ".pdf" else None)


def test_the_report_lists_every_file_once(built: tuple[Path, BuildReport]) -> None:
    report = built[1]
    reasons = {skipped.source: skipped.reason for skipped in report.skipped}
    assert reasons == {
        "unread/broken.xlsx": "damaged, or not what its name says: File is not a zip file",
        "unread/letter.doc": ".doc is not read; save it as .docx or .odt",
        "unread/letter.rtf": ".rtf is not read; save it as .docx or .odt",
        "unread/locked.pdf": "encrypted with a password; save it without one",
        "unread/photos.zip": "an archive; unpack it",
        "unread/scan.pdf": "no text layer: a scan; run OCR over it, e.g. ocrmypdf IN.pdf OUT.pdf, and build again",
        "unread/secret.docx": "encrypted with a password; save it without one",
    }
    assert sorted([*report.added, *reasons]) == [file.source for file in list_files(FILES)[0]]


def test_a_hostile_folder_is_built_and_every_file_of_it_reported_once(empty: Workplace) -> None:
    empty.write("good.txt", "The ferry to Sandwick leaves at six.\n")
    empty.write("good.html", "<p>The ferry back leaves at noon.</p>")
    empty.write("slow.pdf", slow_pdf())
    empty.write("bomb.docx", packed(word__document_xml=b"\0" * 2**24))
    empty.write("entities.docx", docx("", '<!DOCTYPE x [<!ENTITY a "ha">]>'))
    empty.write("deep.json", b"[" * 100_000)
    empty.write("deep.ipynb", b"[" * 100_000)
    empty.write("empty.pdf", b"")
    empty.write("archive.zip", packed(inner_zip=packed(a_txt=b"text")))
    empty.write("soup.xlsx", bytes(range(256)) * 10)
    report = empty.build(file_seconds=1)
    assert report.added == ("deep.json", "good.html", "good.txt")
    assert {skipped.source: skipped.reason.partition(":")[0].partition(";")[0] for skipped in report.skipped} == {
        "slow.pdf": "takes longer than 1 s to read",
        "bomb.docx": "unpacks to more than 200 times its size",
        "entities.docx": "its XML declares entities, which no office program writes",
        "deep.ipynb": "JSON nested too deep to be read",
        "empty.pdf": "empty",
        "archive.zip": "an archive",
        "soup.xlsx": "damaged, or not what its name says",
    }


# --- any format -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", MODULES)
@pytest.mark.parametrize(
    "data", [b"\0" * 50, b"PK\x03\x04", b"\xff\xfe\x00", bytes(range(256)) * 4], ids=["NULs", "zip", "mark", "bytes"]
)
def test_what_is_not_of_the_format_is_refused_or_text(suffix: str, data: bytes) -> None:
    assert outcome(data, suffix).strip()


@given(st.lists(st.one_of(st.text(), st.sampled_from(["gap", "place"]))))
def test_places_stand_where_their_text_begins(written: list[str]) -> None:
    lines = Lines()
    expected: dict[str, str] = {}
    place = ""
    for i, one in enumerate(written):
        if one == "gap":
            lines.gap()
        elif one == "place":
            place = f"page {i}"
            lines.place(place)
        else:
            lines.add(f"{i}:{one}")
            if place:
                expected.setdefault(place, f"{i}:")
    found = lines.done()
    assert [name for _, name in found.places] == list(expected)
    assert all(found.text.startswith(expected[name], offset) for offset, name in found.places)
    assert found.text.encode().decode() == found.text


# --- zip and XML ------------------------------------------------------------------------------------------------------

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def zipped(parts: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def packed(**parts: bytes) -> bytes:
    """A zip archive; "__" stands for a slash and "_" for a dot."""
    return zipped({name.replace("__", "/").replace("_", "."): data for name, data in parts.items()})


def docx(body: str, before: str = "") -> bytes:
    return packed(word__document_xml=f'{before}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'.encode())


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    assert (
        reason(packed(word__document_xml=b"\0" * 2**26), ".docx")
        == "unpacks to more than 200 times its size; it looks like a zip bomb"
    )


def test_an_archive_that_unpacks_to_too_much_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("word/document.xml", b"x")
    claimed = bytearray(out.getvalue())
    directory = claimed.index(b"PK\x01\x02")
    claimed[directory + 20 : directory + 28] = (2**30).to_bytes(4, "little") * 2  # both sizes, in the directory
    assert reason(bytes(claimed), ".docx").startswith("unpacks to 1,024 MB in 1 parts")


@pytest.mark.parametrize(
    "entities",
    [
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://localhost/x.dtd"> %a;]>',
    ],
    ids=["a bomb", "a file", "a page"],
)
def test_xml_that_declares_entities_is_refused(entities: str) -> None:
    assert reason(docx("<w:p><w:r><w:t>&a;</w:t></w:r></w:p>", entities), ".docx").startswith("its XML declares entities")


def test_an_entity_bomb_in_a_workbook_is_refused() -> None:
    book = zipfile.ZipFile(FILES / "nursery.xlsx")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bomb:
        for name in book.namelist():
            data = book.read(name)
            if name.endswith("sheet1.xml"):
                ten = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
                data = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{ten}]><worksheet>&e9;</worksheet>'.encode()
            bomb.writestr(name, data)
    assert reason(out.getvalue(), ".xlsx").startswith("damaged")


def test_xml_nested_too_deep_is_refused() -> None:
    assert reason(docx("<w:p>" * 300 + "</w:p>" * 300), ".docx") == "XML nested deeper than 256"


@pytest.mark.parametrize("suffix", [".docx", ".odt", ".pptx", ".xlsx", ".epub"])
def test_an_archive_of_something_else_is_refused(suffix: str) -> None:
    assert reason(packed(a_txt=b"text"), suffix).startswith("damaged")


def test_an_old_office_file_under_a_new_name_is_told_from_an_encrypted_one() -> None:
    old = (FILES / "unread" / "letter.doc").read_bytes()
    assert reason(old, ".docx") == "an old Office file under a new name; save it as .docx, .xlsx or .pptx"


@pytest.mark.parametrize("name", ["ferry.docx", "boatshed.odt", "reservoir.pptx", "nursery.xlsx", "keeper.epub", "pump-manual.pdf"])
def test_a_file_cut_off_in_the_middle_is_refused_or_read_in_part(name: str) -> None:
    data = (FILES / name).read_bytes()
    found = outcome(data[: len(data) // 2], Path(name).suffix)
    assert found.startswith(("damaged", "no text layer")) or found.splitlines()[0] in read(name).text


# --- Word, OpenDocument, slides ---------------------------------------------------------------------------------------


def test_word_text_holds_what_a_reader_sees() -> None:
    """Inserted text, content controls, text boxes, tabs and line breaks; not what was deleted, and no field codes."""
    run = "<w:r><w:t>{}</w:t></w:r>".format
    body = (
        f"<w:p>{run('The ')}<w:ins>{run('red ')}</w:ins><w:del><w:r><w:delText>blue </w:delText></w:r></w:del>{run('buoy')}"
        f"<w:r><w:tab/><w:noBreakHyphen/><w:t>7</w:t><w:br/><w:instrText>PAGE</w:instrText><w:t>next line</w:t></w:r></w:p>"
        f"<w:sdt><w:sdtContent><w:p>{run('in a control')}</w:p></w:sdtContent></w:sdt>"
        f"<w:p><w:r><w:pict><w:txbxContent><w:p>{run('in a box')}</w:p></w:txbxContent></w:pict></w:r>{run('beside it')}</w:p>"
    )
    assert text_of(docx(body), ".docx").splitlines() == ["The red buoy -7", "next line", "in a control", "beside it", "in a box"]


def test_merged_cells_of_word_keep_the_columns_and_stand_in_every_row() -> None:
    cell = "<w:tc><w:tcPr>{}</w:tcPr><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>".format
    two, first = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>'
    rows = (
        f"<w:tr>{cell('', 'Quay')}{cell('', 'Depth')}{cell('', 'Berths')}</w:tr>"
        f"<w:tr>{cell('', 'North')}{cell(two, 'closed')}</w:tr>"
        f"<w:tr>{cell(first, 'South')}{cell('', '4 m')}{cell('', '12')}</w:tr>"
        f"<w:tr>{cell('<w:vMerge/>', '')}{cell('', '5 m')}{cell('', '14')}</w:tr>"
    )
    assert text_of(docx(f"<w:tbl>{rows}</w:tbl>"), ".docx").splitlines() == [
        "Quay | Depth | Berths",
        "North | closed | ",
        "South | 4 m | 12",
        "South | 5 m | 14",
    ]


def odt(body: str) -> bytes:
    content = f"<office:body><office:text>{body}</office:text></office:body>"
    return packed(
        content_xml=f'<office:document xmlns:office="o" xmlns:table="t" xmlns:text="x">{content}</office:document>'.encode()
    )


def test_merged_cells_of_opendocument_keep_the_columns_and_stand_in_every_row() -> None:
    covered = "<table:covered-table-cell/>"

    def row(*cells: str) -> str:
        return f"<table:table-row>{''.join(cells)}</table:table-row>"

    def cell(text: str, **spanned: int) -> str:
        spans = "".join(f' table:number-{name}="{count}"' for name, count in spanned.items()).replace("_", "-")
        return f"<table:table-cell{spans}><text:p>{text}</text:p></table:table-cell>"

    rows = (
        f"<table:table-header-rows>{row(*map(cell, ('Quay', 'Depth', 'Berths')))}</table:table-header-rows>"
        + row(cell("North"), cell("closed", columns_spanned=2), covered)
        + row(cell("South", rows_spanned=3), cell("4 m"), cell("12"))
        + row(covered, cell("5 m", rows_spanned=2), cell("14"))
        + row(covered, covered, cell("16"))
        + row('<table:table-cell table:number-columns-repeated="2"/>', cell("20"))
        + row(cell("both", rows_spanned=2, columns_spanned=2), covered, cell("21"))
        + row(covered, covered, cell("22"))
        + row(cell("East"), '<table:table-cell table:number-columns-repeated="1000"/>')
    )
    assert text_of(odt(f"<table:table>{rows}</table:table>"), ".odt").splitlines() == [
        "Quay | Depth | Berths",
        "North | closed | ",
        "South | 4 m | 12",
        "South | 5 m | 14",
        "South | 5 m | 16",
        " |  | 20",
        "both |  | 21",
        "both |  | 22",
        "East | ",
    ]


def test_lists_of_word_are_numbered_as_word_shows_them() -> None:
    level = '<w:lvl w:ilvl="{}"><w:start w:val="1"/><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'.format
    numbering = (
        f'<w:numbering xmlns:w="{WORD}"><w:abstractNum w:abstractNumId="5">{level(0, "decimal", "%1.")}'
        f'{level(1, "lowerLetter", "%1%2)")}</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="5"/></w:num></w:numbering>'
    )
    item = '<w:p><w:pPr><w:numPr><w:ilvl w:val="{}"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>'.format
    body = item(0, "one") + item(0, "two") + item(1, "first") + item(1, "second") + item(0, "three") + item(1, "again")
    data = packed(
        word__document_xml=f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'.encode(),
        word__numbering_xml=numbering.encode(),
    )
    assert text_of(data, ".docx").split("\n")[:-1] == ["1. one", "2. two", "2a) first", "2b) second", "3. three", "3a) again"]


FIRST, BELOW = ('rowSpan="2"', "South"), ('vMerge="1"', "")  # of a merged cell


def test_a_merged_cell_of_a_slide_stands_in_every_row() -> None:
    cell = "<a:tc {}><a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody></a:tc>".format
    rows = "".join(f"<a:tr>{cell(*name)}{cell('', depth)}</a:tr>" for name, depth in [(FIRST, "4 m"), (BELOW, "5 m")])
    namespaces = 'xmlns:p="p" xmlns:a="a" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    parts = {
        "ppt/presentation.xml": f'<p:presentation {namespaces}><p:sldId r:id="one"/></p:presentation>',
        "ppt/_rels/presentation.xml.rels": '<Relationships><Relationship Id="one" Target="slide.xml"/></Relationships>',
        "ppt/slide.xml": f"<p:sld {namespaces}><p:graphicFrame><a:tbl>{rows}</a:tbl></p:graphicFrame></p:sld>",
    }
    assert text_of(zipped({name: part.encode() for name, part in parts.items()}), ".pptx") == "South | 4 m\nSouth | 5 m\n"


def test_speaker_notes_stand_on_their_slide() -> None:
    document = read("reservoir.pptx")
    at = document.text.index("Notes: The council has asked")
    assert place_of(document, at) == "slide 2"


# --- sheets -----------------------------------------------------------------------------------------------------------

ROLES = ["Ada | role: pilot", "Jon | role: cook", "Kim | role: mate"]
NEW = "All of it new."


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("a,b\n1,2\n", ["a | b", "a: 1 | b: 2"]),
        ("a;b\r\n1;2,5\r\n", ["a | b", "a: 1 | b: 2,5"]),
        ("a|b\n1|2\n", ["a | b", "a: 1 | b: 2"]),
        ('name,note\nAda,"two\nlines, one cell"\n', ["name | note", "name: Ada | note: two lines, one cell"]),
        ("1,2\n3,4\n", ["1 | 2", "3 | 4"]),
        (
            "Prices of 2024\n\nware,price\npot,3\nmug,4\n",
            ["Prices of 2024", "ware | price", "ware: pot | price: 3", "ware: mug | price: 4"],
        ),
        ("region,2022,2023\nnorth,5,6\n", ["region | 2022 | 2023", "region: north | 2022: 5 | 2023: 6"]),
        ("a,b\n,7\n,\n8,\n", ["a | b", "b: 7", "a: 8"]),
        ("a\n", ["a"]),
        ("\ufeffa,b\nx,y\n", ["a | b", "a: x | b: y"]),
        ("a,b\n\n1,2\n", ["a | b", "a: 1 | b: 2"]),
        ("name,role\nAda,pilot\n\nJon,cook\nKim,mate\n", ["name | role", *(f"name: {n}" for n in ROLES)]),
        (
            "ware,price\npot,3\n\nmodel,litres\nA,20\nB,45\n\nAll of it new.\n",
            ["ware | price", "ware: pot | price: 3", "model | litres", "model: A | litres: 20", "model: B | litres: 45", NEW],
        ),
        (
            "ware,price\npot,3\n\nCrew\nname,role,since\nAda,pilot,May\n",
            ["ware | price", "ware: pot | price: 3", "Crew", "name | role | since", "name: Ada | role: pilot | since: May"],
        ),
    ],
)
def test_rows_of_csv_name_their_columns(table: str, rows: list[str]) -> None:
    assert text_of(table.encode(), ".csv").splitlines() == rows


def test_rows_are_numbered_as_a_spreadsheet_numbers_them() -> None:
    found = extract(b'a,b\n\n"x\ny",2\n3,4\n', ".csv")
    assert [name for _, name in found.places] == ["row 1", "row 3", "row 4"]


@given(st.lists(st.lists(st.text('ab,;"\n |\t1é', max_size=5), min_size=1, max_size=4), min_size=1, max_size=8))
def test_any_csv_is_read(rows: list[list[str]]) -> None:
    data = "\n".join(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows)
    found = extract(data.encode(), ".csv")
    assert len(found.places) == len(found.text.splitlines())


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (0.35, "0%", "35%"),
        (0.125, "0.0%", "12.5%"),
        (14.5, '"€"0.00', "€14.50"),
        (1234.5, "#,##0.00 [$€-407]", "1,234.50 €"),
        (1234567, "#,##0", "1,234,567"),
        (0.1 + 0.2, "General", "0.3"),
        (7, "General", "7"),
        (3, "0.00", "3.00"),
        (12, "@", "12"),
        (True, "General", "TRUE"),
        (12, '0" m"', "12 m"),
        (None, "General", ""),
    ],
)
def test_a_cell_of_a_workbook_reads_as_the_sheet_shows_it(value: object, number_format: str, shown: str) -> None:
    from rag.formats.sheets import _shown

    assert _shown(value, number_format) == shown


# --- PDF --------------------------------------------------------------------------------------------------------------


def pdf(*pages: str) -> bytes:
    """A PDF whose pages have these content streams; font F1 is Helvetica, F2 bold."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{5 + 2 * i} 0 R" for i in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    objects += [f"<< /Type /Font /Subtype /Type1 /BaseFont {name} >>" for name in ("/Helvetica", "/Helvetica-Bold")]
    for i, content in enumerate(pages):
        fonts = "<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {6 + 2 * i} 0 R /Resources {fonts} >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return objects_pdf(*(one.encode("latin-1") for one in objects))


def put(x: float, y: float, text: str, size: float = 10, font: str = "F1") -> str:
    return f"BT /{font} {size} Tf {x} {y} Td ({text}) Tj ET\n"


def test_wrapped_lines_of_a_pdf_are_one_sentence_and_a_hyphen_is_undone() -> None:
    lines = [
        "The pilot boat was built of larch on oak, and went out in all wea-",
        "ther until the year in which her engine",
        "was stolen. She is a wreck.",
    ]
    page = "".join(put(72, 700 - 12 * i, line) for i, line in enumerate(lines))
    assert text_of(pdf(page), ".pdf").strip() == (
        "The pilot boat was built of larch on oak, and went out in all weather until the year in which her engine was stolen. "
        "She is a wreck."
    )


def test_a_sentence_that_runs_over_a_page_stays_one_and_pages_are_known() -> None:
    found = extract(
        pdf(put(72, 60, "The harbour master lives in the house above"), put(72, 700, "the lock, and keeps geese.")), ".pdf"
    )
    assert found.text == "The harbour master lives in the house above the lock, and keeps geese.\n"
    assert found.places == ((0, "page 1"), (44, "page 2"))


PICTURE = "q 500 0 0 700 50 50 cm BI /W 1 /H 1 /CS /G /BPC 8 ID 0 EI Q"  # all that is on a scanned page


def test_a_page_without_text_has_no_place_but_counts() -> None:
    assert [name for _, name in extract(pdf(put(72, 700, "One."), "0 0 5 5 re f", put(72, 700, "Three.")), ".pdf").places] == [
        "page 1",
        "page 3",
    ]


def test_pages_of_a_pdf_that_hold_no_text_are_named_and_blank_ones_are_not() -> None:
    words, drawing, blank = put(72, 700, "The keeper has two geese."), PICTURE, ""
    pages = [words, blank, drawing, drawing, drawing, words, put(72, 700, " "), drawing, words]
    assert extract(pdf(*pages), ".pdf").unread == (
        "no text layer on pages 3–5, 8 (scanned?); run OCR over the file, e.g. ocrmypdf --skip-text IN.pdf OUT.pdf, and build again"
    )
    assert "on page 2 (scanned?)" in extract(pdf(words, drawing), ".pdf").unread
    assert (
        "on pages 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, … (20 in all)" in extract(pdf(*[words, drawing] * 20), ".pdf").unread
    )
    for nothing in (blank, "0 0 600 800 re f", "72 400 400 0.5 re f"):
        assert extract(pdf(words, nothing), ".pdf").unread == "", "a ground or a rule is no scan"


def test_a_damaged_page_of_a_pdf_is_named() -> None:
    whole = pdf(put(72, 700, "The keeper has two geese."), put(72, 700, "And a goat."))
    found = extract(whole.replace(b"7 0 obj << /Type /Page ", b"7 0 obj << /Type /Pag3 "), ".pdf")
    assert (found.text, found.unread) == ("The keeper has two geese.\n", "page 2 damaged, and not read")
    with pytest.raises(Unreadable, match="none of its pages"):
        extract(whole.replace(b"/Type /Page ", b"/Type /Pag3 "), ".pdf")


def test_what_is_unread_of_a_file_is_told_until_it_can_be_read(empty: Workplace) -> None:
    words = put(72, 700, "The keeper has two geese.")
    empty.write("geese.pdf", pdf(words, PICTURE))
    empty.write("plain.txt", "A goat.")
    first = empty.build()
    [partly] = first.partly
    assert (partly.source, partly.reason.partition(";")[0]) == ("geese.pdf", "no text layer on page 2 (scanned?)")
    assert f"! geese.pdf (indexed in part: {partly.reason})\n2 added, 0 changed, 0 removed, 0 unchanged, 0 skipped, 1 in part" in (
        report_text(first)
    )
    again = empty.build()
    assert (again.unchanged, again.partly) == (2, first.partly)
    assert "geese.pdf" not in report_text(again, first), "it stood in the report before"
    with empty.open() as assistant:
        assert {one.source: (one.state, one.reason) for one in Library(assistant).entries()} == {
            "geese.pdf": ("indexed", partly.reason),
            "plain.txt": ("indexed", ""),
        }
    assert index_status(Settings.load(index=empty.index))["partly"] == {"geese.pdf": partly.reason}
    empty.write("geese.pdf", pdf(words, put(72, 700, "And a goat.")))
    assert empty.build().partly == ()


def test_letters_of_a_pdf_are_in_reading_order_in_any_script_and_ligatures_are_letters() -> None:
    assert [line for line in read("languages.pdf").text.splitlines() if line] == [
        "تغادر السفينة الميناء في الساعة السادسة صباحا",
        "Паром отходит в шесть часов утра.",
        "“Le café ouvre à six heures”, naïve fish, office.",
    ]


def test_running_titles_stand_once() -> None:
    pages = [
        put(72, 780, "Annals of the Light") + put(72, 700, f"Year {word} was dry.") + put(300, 20, f"{i}")
        for i, word in enumerate(["one", "two", "three", "four"])
    ]
    text = text_of(pdf(*pages), ".pdf")
    assert text.count("Annals of the Light") == 1
    assert all(f"Year {word} was dry." in text for word in ("one", "two", "three", "four"))


def test_a_row_of_a_table_without_lines_is_one_line() -> None:
    rows = [("Model", "Capacity", "Mass"), ("A", "20 l", "14 kg"), ("B", "45 l", "22 kg")]
    page = "".join(put(72 + 90 * j, 600 - 14 * i, cell) for i, row in enumerate(rows) for j, cell in enumerate(row))
    assert text_of(pdf(page), ".pdf").splitlines() == ["Model | Capacity | Mass", "A | 20 l | 14 kg", "B | 45 l | 22 kg"]


def test_words_of_a_paragraph_that_stand_apart_are_no_table() -> None:
    """As TeX writes a word in another font: by itself, without a space."""
    lines = [
        ("After generating the", 169, "assign.out", 226, "file from the example of it,"),
        ("the", 95, "asn1Coding", 158, "command will print it again"),
    ]
    page = "".join(
        put(72, 700 - 12 * i, a) + put(x, 700 - 12 * i, b) + put(y, 700 - 12 * i, c) for i, (a, x, b, y, c) in enumerate(lines)
    )
    assert text_of(pdf(page), ".pdf").split() == " ".join(words for line in lines for words in line[::2]).split()


def rows_of(cells: list[tuple[str, ...]], top: float) -> str:
    return "".join(put(72 + 90 * j, top - 14 * i, cell) for i, row in enumerate(cells) for j, cell in enumerate(row))


@pytest.mark.parametrize("repeated", [True, False])
def test_a_table_goes_on_over_a_page_under_the_same_header(repeated: bool) -> None:
    header = ("Model", "Capacity", "Mass")
    below = [("B", "45 l", "22 kg"), ("C", "90 l", "41 kg")]
    pages = [rows_of([header, ("A", "20 l", "14 kg")], 100), rows_of([header, *below] if repeated else below, 700)]
    found = extract(pdf(*pages), ".pdf")
    assert found.text.splitlines() == ["Model | Capacity | Mass", "A | 20 l | 14 kg", "B | 45 l | 22 kg", "C | 90 l | 41 kg"]
    assert found.places == ((0, "page 1"), (found.text.index("B |"), "page 2"))
    assert header_span(found.text, found.kind, found.text.index("C |")) == (0, 23)


def test_rows_of_figures_at_the_edges_of_pages_are_not_taken_for_running_titles() -> None:
    pages = [
        rows_of([("North", f"{i}1", f"{i}2"), ("South", f"{i}3", f"{i}4"), ("East", f"{i}5", f"{i}6")], 700) for i in range(1, 7)
    ]
    assert text_of(pdf(*pages), ".pdf").count("South | ") == 6


def test_a_table_without_lines_keeps_cells_that_are_wrapped_beside_centred_ones_and_empty_ones_in_their_columns() -> None:
    page = (
        rows_of([("Model", "Use", "Mass"), ("A", "farms", "14 kg")], 700)
        + put(72, 666, "B, with a") + put(72, 654, "float") + put(162, 660, "villages") + put(252, 660, "22 kg")
        + put(72, 636, "C") + put(162, 642, "towns, and") + put(162, 630, "ships") + put(252, 636, "41 kg")
        + put(72, 612, "D") + put(252, 612, "60 kg")
    )  # fmt: skip
    assert text_of(pdf(page), ".pdf").splitlines() == [
        "Model | Use | Mass",
        "A | farms | 14 kg",
        "B, with a float | villages | 22 kg",
        "C | towns, and ships | 41 kg",
        "D |  | 60 kg",
    ]


def test_drawn_lines_make_cells_of_wrapped_text_and_keep_empty_ones() -> None:
    grid = "".join(f"70 {y} m 340 {y} l S\n" for y in (620, 600, 560, 540)) + "".join(
        f"{x} 540 m {x} 620 l S\n" for x in (70, 160, 250, 340)
    )
    text = (
        put(72, 606, "Model") + put(162, 606, "Use") + put(252, 606, "Mass")
        + put(72, 576, "B") + put(162, 588, "farms and") + put(162, 576, "small vil-") + put(162, 564, "lages")
        + put(252, 576, "22 kg") + put(72, 546, "C") + put(252, 546, "41 kg")
    )  # fmt: skip
    assert text_of(pdf(grid + text), ".pdf").splitlines() == [
        "Model | Use | Mass",
        "B | farms and small villages | 22 kg",
        "C |  | 41 kg",
    ]


def test_large_and_bold_lines_of_a_pdf_are_headings() -> None:
    body = "".join(
        put(72, 640 - 12 * i, "The lock is opened at half tide and closed again at high water, by hand.") for i in range(4)
    )
    page = put(72, 720, "Sea locks", 20) + put(72, 670, "Opening", 10, "F2") + body
    lines = [line for line in text_of(pdf(page), ".pdf").splitlines() if line]
    assert lines[:2] == ["# Sea locks", "## Opening"]
    assert len(lines) == 3


# --- mail, books, records ---------------------------------------------------------------------------------------------


def test_mail_shows_its_headers_and_names_attachments() -> None:
    document = read("dredging.eml")
    assert document.title == "Dredging of the inner harbour – dates"
    assert document.text.startswith(
        "From: Ada Moe <ada@example.org>\nTo: harbour@example.org\nDate: Tue, 12 Mar 2024 09:30:00 +0100\n"
    )
    assert document.text.endswith("Attachment: Tiefenplan-März.pdf (not read)\n")


def test_mail_is_what_a_mail_program_shows_part_by_part() -> None:
    page = MIMEMultipart("related", _subparts=[MIMEText("<p>The page.", "html"), MIMEImage(b"", "png")])
    choice = MIMEMultipart("alternative", _subparts=[MIMEText("The text."), page])
    forwarded = MIMEMessage(EmailMessage())
    mail = MIMEMultipart("mixed", _subparts=[choice, MIMEText("The footer of a list."), forwarded])
    mail["Subject"] = "x"
    assert text_of(mail.as_bytes(), ".eml").split("\n\n") == [
        "Subject: x",
        "The text.",
        "The footer of a list.",
        "Attachment: message/rfc822 (not read)\n",
    ]
    page["Subject"] = "x"
    assert text_of(page.as_bytes(), ".eml") == "Subject: x\n\nThe page.\n"


def test_mail_in_html_only_is_its_page() -> None:
    mail = b"From: a@example.org\nSubject: x\nContent-Type: text/html; charset=latin-1\n\n<p>Caf\xe9 <script>y()</script>at six</p>"
    assert text_of(mail, ".eml") == "From: a@example.org\nSubject: x\n\nCafé at six\n"


def test_a_protected_book_is_reported() -> None:
    rights = '<encryption xmlns="a" xmlns:e="b"><e:EncryptedData><e:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></e:EncryptedData></encryption>'
    data = io.BytesIO((FILES / "keeper.epub").read_bytes())
    with zipfile.ZipFile(data, "a") as book:
        book.writestr("META-INF/encryption.xml", rights)
    assert reason(data.getvalue(), ".epub") == "copy-protected (DRM), which is not read"


def test_chapters_are_in_reading_order() -> None:
    assert [name for _, name in read("keeper.epub").places] == ["chapter The Island", "chapter The Lamp", "chapter The Storm"]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ([{"a": 1, "b": {"c": "x"}}, {"a": None, "b": []}], ["a: 1 | b.c: x"]),
        ({"total": 2, "items": [{"n": "x"}, {"n": "y z"}]}, ["total: 2", "n: x", "n: y z"]),
        ([{"tags": ["red", "blue"]}, {"parts": [{"id": 7}]}], ["tags: red, blue", "parts[1].id: 7"]),
    ],
)
def test_records_of_json_are_lines(value: object, lines: list[str]) -> None:
    assert text_of(json.dumps(value).encode(), ".json").splitlines() == lines


def test_other_json_is_kept_as_it_stands_unless_it_is_one_long_line() -> None:
    settings = '{\n  "port": 8080,\n  "hosts": ["a", "b"]\n}\n'
    assert extract(settings.encode(), ".json").text == settings
    long = json.dumps({"port": 8080, "note": "x" * 2000, "log": {"level": "debug"}})
    assert text_of(long.encode(), ".json").splitlines() == ["port: 8080", "note: " + "x" * 2000, "log.level: debug"]


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000])
def test_deeply_nested_json_is_no_matter(data: bytes) -> None:
    assert text_of(data, ".json") == text_of(data, ".jsonl").rstrip("\n") == data.decode()
    assert reason(data, ".ipynb").startswith(("JSON nested too deep", "damaged: not valid JSON"))


def test_a_line_that_is_no_json_is_kept_among_those_that_are() -> None:
    found = extract(b'{"a": 1}\n\nnot json\n{"a": "\\ud800"}\n', ".jsonl")
    assert found.text == "a: 1\nnot json\na: \ufffd\n"
    assert [name for _, name in found.places] == ["record 1", "record 3", "record 4"]


# --- HTML -------------------------------------------------------------------------------------------------------------


def test_html_text_holds_headings_lists_tables_and_entities() -> None:
    found = extract(
        b"<!doctype html><title>Ferry &amp;\n Harbour</title><h2>Prices</h2><p>A car costs &euro;14, a <b>bicycle</b>\n nothing."
        b"<table><tr><th>Day<th>Hours<tr><td>Sunday<td>9&ndash;12</table><ul><li>Tea<li>Cake</ul>line<br>break",
        ".html",
    )
    assert found.title == "Ferry & Harbour"
    assert [line for line in found.text.splitlines() if line] == [
        "## Prices",
        "A car costs €14, a bicycle nothing.",
        "Day | Hours",
        "Sunday | 9–12",
        "- Tea",
        "- Cake",
        "line",
        "break",
    ]


def test_html_keeps_the_lines_of_preformatted_text() -> None:
    assert "for x in y:\n    print(x)\n" in text_of(b"<p>Code:</p><pre>for x in y:\n    print(x)</pre>", ".html")


@pytest.mark.parametrize("tag", ["script", "style", "noscript", "template", "nav", "footer", "aside", "iframe"])
def test_html_text_leaves_out_what_is_not_the_page(tag: str) -> None:
    text = text_of(f"<body><p>before</p><{tag}>hidden <nav>menu</nav></{tag}><p>after</p></body>".encode(), ".html")
    assert "before" in text
    assert "hidden" not in text
    assert "menu" not in text


def test_html_nested_deeper_than_recursion_allows_is_read() -> None:
    assert text_of(b"<div>" * 5_000 + b"deep" + b"</div>" * 5_000, ".html") == "deep\n"


@given(st.text(st.sampled_from("<>/&;=\"'! abp#x1é\n") | st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_markup_gives_text_without_touching_the_word_in_front(markup: str) -> None:
    assert text_of(("<p>lighthouse</p>" + markup).encode(), ".html").startswith("lighthouse\n")


def test_a_page_with_a_main_part_is_that_part() -> None:
    page = b"<body><div>Menu and more</div><div role=main><h1>Mill</h1><p>It grinds barley.</p></div><div>Imprint</div></body>"
    assert text_of(page, ".html") == "# Mill\n\nIt grinds barley.\n"


def test_a_list_of_nothing_but_links_is_a_menu_but_a_page_of_links_is_a_page() -> None:
    menu = "<ul>" + "".join(f'<li><a href="/{i}">Part {i}</a></li>' for i in range(6)) + "</ul>"
    text = text_of(f"<body>{menu}<p>The ferry leaves at six, and again at noon when the tide allows.</p></body>".encode(), ".html")
    assert text == "The ferry leaves at six, and again at noon when the tide allows.\n"
    assert "Part 3" in text_of(f"<body>{menu}</body>".encode(), ".html")


def test_a_page_is_decoded_as_it_declares() -> None:
    page = '<meta charset="koi8-r"><p>Паром отходит в шесть.'.encode("koi8-r")
    assert extract(page, ".html").text == "Паром отходит в шесть.\n"
    assert extract(page, ".html").encoding == "koi8-r"


def test_a_cell_with_paragraphs_and_an_empty_cell_keep_the_row() -> None:
    cells = "<td><div><p>Spring</p><ul><li>early</li></ul></div>tide</td><td></td><td>10<br>1<b>6</b></td>"
    assert text_of(f"<table><tr>{cells}</tr></table>".encode(), ".html") == "Spring early tide |  | 10 16\n"


def test_a_merged_cell_stands_in_every_row_that_it_covers() -> None:
    table = (
        b"<table><caption>Berths</caption><tr><th>Quay<th>Depth<th>Berths<tr><td>North<td colspan=2>closed"
        b"<tr><td rowspan=2>South<td>4 m<td>12<tr><td>5 m<td>14</table>"
    )
    assert [line for line in text_of(table, ".html").splitlines() if line] == [
        "Berths",
        "Quay | Depth | Berths",
        "North | closed | ",
        "South | 4 m | 12",
        "South | 5 m | 14",
    ]


def test_a_table_that_lays_out_a_page_is_its_texts_and_one_within_it_a_table() -> None:
    inner = "<table><tr><th>Ware<th>Price<tr><td>pot<td>3</table>"
    page = f"<table><tr><td><h2>March</h2><p>We open.</p>{inner}</td><td><p>Dogs are welcome.</p></td></tr></table>"
    lines = ["## March", "We open.", "Ware | Price", "pot | 3", "Dogs are welcome."]
    assert [line for line in text_of(page.encode(), ".html").splitlines() if line] == lines
    letter = b"<table role=presentation><tr><td>Dear Ada,<br>we open.</td><td>The mill</td></tr></table>"
    assert [line for line in text_of(letter, ".html").splitlines() if line] == ["Dear Ada,", "we open.", "The mill"]


# --- tables in a text -------------------------------------------------------------------------------------------------


def header(text: str, kind: str, words: str) -> str | None:
    span = header_span(text, kind, text.index(words))
    return text[slice(*span)] if span else None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_header_of_a_row_is_the_first_row_of_its_table(end: str) -> None:
    text = end.join(["Prices | not yet", "", "| Ware | Price |", "|------|------:|", "| pot | 3 |", "| mug | 4 |", "", "pot again"])
    assert header(text, "markdown", "| mug") == "| Ware | Price |"
    assert header(text, "markdown", "3 |") == "| Ware | Price |"
    assert header(text, "markdown", "Ware") is None
    assert header(text, "markdown", "pot again") is None
    assert header(text, "code", "| mug") is None


def test_a_markdown_table_may_have_no_bars_at_its_edges() -> None:
    text = "Use a | b here.\n\nWare | Price\n--- | ---:\npot | 3\nmug | 4\n\nUse a | b\nor c | d.\n"
    assert header(text, "markdown", "mug") == "Ware | Price"
    assert header(text, "markdown", "3") == "Ware | Price"
    assert header(text, "markdown", "Price") is None
    assert header(text, "markdown", "or c") is None
    assert header(text, "text", "mug") is None


def test_a_simple_table_of_restructuredtext_has_the_header_between_its_first_rules() -> None:
    rule = "=====  ========"
    rows = [
        "Text above",
        "",
        rule,
        "Model  Capacity",
        rule,
        "A      20 l",
        "B      45 l,",
        "       or 50",
        rule,
        "",
        "B      is best",
    ]
    text = "\n".join(rows)
    assert header(text, "rst", "45 l") == header(text, "rst", "or 50") == header(text, "rst", "A  ") == "Model  Capacity"
    assert header(text, "rst", "Capacity") is None
    assert header(text, "rst", "is best") is None
    assert header(text, "text", "45 l") is None
    assert header("\n".join([rule, "A      20 l", "B      45 l", rule]), "rst", "B") is None


def test_a_long_line_of_dashes_is_no_matter() -> None:
    """No timing: a regular expression that tries every length would take minutes here."""
    text = "| a |\n" + ("-" * 19_000 + "x|\n") * 200
    assert header(text, "markdown", "x|") is None


def test_a_frame_above_the_header_is_none_itself() -> None:
    assert header("+---+---+\n| a | b |\n+===+===+\n| c | d |\n+---+---+\n| e | f |\n+---+---+\n", "rst", "| e |") == "| a | b |"


def test_headings_and_items_with_a_bar_are_no_rows() -> None:
    text = "# Mills | Sandwick\n- flour | bran\n# | Name\n1 | Ada\n"
    assert header(text, "html", "flour") is None
    assert header(text, "html", "Ada") == "# | Name"


@given(st.text("|-=+ a\n\r#:", max_size=80), st.integers(0, 79), st.sampled_from(["markdown", "rst", "html", "text"]))
def test_a_header_stands_on_an_earlier_line(text: str, offset: int, kind: str) -> None:
    if offset < len(text) and (span := header_span(text, kind, offset)) is not None:
        begin, end = span
        assert 0 <= begin < end <= offset
        assert text[begin:end].strip() == text[begin:end] != ""
