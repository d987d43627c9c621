"""Guess by simple rules whether a column holds personal data: names, numbers, mail, dates, addresses, free text.

The rules look at the words of the column's header, in a dozen languages, and at the form of its values. Some words
suffice alone ("surname"); others ("id", "name", "city") count only if the column has many values that few records
share. The rules use no register of names, and miss a column that is called "x7" and whose values have no known form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from ult.host.later import compute as pc

KINDS = {
    "name": "names of people",
    "number": "numbers that stand for a person (a record, account, telephone or insurance number)",
    "mail": "mail or network addresses",
    "birth": "dates of birth or death",
    "date": "dates",
    "address": "street addresses",
    "place": "places",
    "text": "free text",
}
DIRECT = {"name", "number", "mail", "birth", "address"}  # direct identifiers: they point at one person
SEEN = 0.2  # share of the values that must have a form for it to count
TELLING = 0.01  # the same for forms that nothing else has (`TELLING_FORMS`)
WORDS = 6  # words from which on a value is free text
SIGNS = 40  # characters from which on it is, in scripts without spaces

_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # scripts without spaces
_SURE = {  # words of a header that suffice alone
    "name": "surname lastname firstname forename givenname familyname middlename fullname maidenname patientname "
    "patientenname ptname patname personname nachname vorname familienname geburtsname prenom nomdefamille apellido "
    "apellidos primerapellido cognome achternaam voornaam sobrenome nazwisko imie etternavn fornavn efternavn "
    "efternamn fornamn sukunimi etunimi prijmeni jmeno vezeteknev keresztnev soyad soyadı фамилия имя "
    "отчество фио прізвище όνομα επώνυμο 姓名 氏名 名前 患者名 성명 이름 الاسم שם नाम ชื่อ",
    "number": "mrn ssn nhsnumber nhsno npi iban phone telephone telephonenumber cellphone fax telefon telefono "
    "telefone handynummer mobilenumber mobilephone passport passportnumber drivinglicence driverslicense insuranceid "
    "insurancenumber policynumber accountnumber accountno kontonummer patientid patientnumber patientno "
    "patientnr patientnbr patientennummer patientenid "
    "subjectid personid participantid medicalrecord medicalrecordnumber "
    "hospitalnumber chartnumber fallnummer versichertennummer versicherungsnummer sozialversicherungsnummer "
    "krankenkassennummer numerosecu nirpp codicefiscale curp cpf bsn pesel personnummer fodselsnummer aadhaar "
    "pid uid empi patid ptid userid "
    "ipaddress licenseplate kennzeichen taxid steuernummer hadmid телефон снилс 病历号 身份证 电话 電話 手机 전화 هاتف "
    "טלפון",
    "mail": "mail email emailaddress courriel correo posta emailadresse почта 邮箱 電子メール メール 이메일",
    "birth": "dob dateofbirth birthdate birthday birthdt geburtsdatum geburtstag datenaissance datedenaissance "
    "naissance fechanacimiento fechadenacimiento nacimiento datadinascita nascita datanascimento "
    "geboortedatum fodselsdato fodelsedatum dataurodzenia dateofdeath deathdate dod sterbedatum 生日 出生日期 生年月日 "
    "생년월일 датарождения تاريخالميلاد gebdatum gebdat",
    "address": "address streetaddress homeaddress street streetname adresse anschrift strasse straße hausnummer "
    "direccion domicilio indirizzo endereco adres latitude longitude geolocation gps адрес 住所 地址 주소 عنوان "
    "כתובת",
}
_MAYBE = {  # words that headers also use for other things; the first kind that matches counts
    "birth": "birth born death died geb geboren gestorben verstorben",
    "place": "zip zipcode postcode postalcode postal plz city town village county ort wohnort ville ciudad citta "
    "birthplace placeofbirth miasto lat lon lng город 城市 邮编 郵便番号 도시",
    "name": "name names nom nombre naam navn namn nome isim initials doctor physician nurse arzt clinician",
    "number": "id ids identifier identifiant key accession barcode uuid guid subject person participant proband "
    "pseudonym drivers 番号 编号 번호",
}
_ALONE = "patient patients paciente paziente patienten пациент 患者 病人 환자"  # a number if it is the whole header
_NAMES = ("first", "last", "maiden", "middle")  # a name if it is the whole header
_OF_THINGS = (  # beside these words, "name", "id" and "code" do not refer to a person
    "class gene file drug product study column field category label event test lab unit device protein species brand "
    "medication dataset task model variable type group diagnosis icd "
    "status control count age sex kind year month score result value rate"
)
_GIVEN = (  # first names that are rarely other words
    "maria anna john james michael robert david william thomas sarah emma peter paul laura julia sofia sophie "
    "marie jean pierre jacques claire camille hans klaus wolfgang jurgen jürgen stefan andreas martin sabine "
    "ursula monika petra giovanni giuseppe francesca luca carlos jose josé juan luis miguel carmen ana pedro "
    "joao joão paulo elena ivan olga natalia dmitri sergei mohammed muhammad ahmed fatima ali omar yusuf aisha "
    "wei ming hiroshi yuki kenji sakura raj priya amit anita jennifer jessica elizabeth mary patricia linda "
    "susan karen nancy lisa margaret sandra ashley kimberly emily donna michelle daniel matthew anthony steven "
    "andrew joshua kevin brian george edward ronald timothy jason jeffrey ryan jacob gary nicholas eric "
    "jonathan stephen larry alice oliver olivia amelia noah liam charlotte lukas felix leon mia lena jan piotr "
    "krzysztof katarzyna agnieszka lars sven ingrid erik astrid anders"
)
_DATES = (
    r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?$|^\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}$"
    r"|^(\d{1,2}[ .-]*\p{L}{3,9}|\p{L}{3,9} \d{1,2})[., -]*\d{2,4}$"
    r"|^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$|^\d{4}年\d{1,2}月\d{1,2}日$"
)
_TELEPHONE = (
    r"^\+\d[\d ()/-]{6,18}\d$|^\(\d{2,5}\)[ /-]?\d[\d /-]{4,12}\d$|^0\d{1,4}[ /-]\d[\d ]{4,12}\d$"
    r"|^\d{3}[ -]\d{3}[ -]\d{4}$"
)
_FORMS: dict[str, tuple[str, str]] = {  # form -> (kind, RE2 pattern); the first that matches a value counts
    "mail": ("mail", r"^\S+@[^\s@]+\.[^\s@]+$|^https?://|^\d{1,3}(\.\d{1,3}){3}$"),
    "date": ("date", _DATES),
    "register": ("number", r"^\d{3}-\d{2}-\d{4}$"),
    "account": ("number", r"^[A-Z]{2}\d{2} ?([A-Z0-9]{4} ?){3,7}[A-Z0-9]{0,4}$"),
    "telephone": ("number", _TELEPHONE),
    "street": (
        "address",
        r"(?i)\b\d{1,5}\s+(\p{L}[\p{L}.'-]*\s+){1,4}(street|st|road|rd|avenue|ave|lane|ln|drive|blvd|boulevard|court)\b"
        r"|\p{L}(straße|strasse|str\.|gasse|weg|platz|allee)\s*\d|^\d{0,4},?\s?(rue|avenue|boulevard|calle|via|rua)\s\p{L}",
    ),
    "titled": (
        "name",
        r"(?i)^(mr|mrs|ms|dr|herr|frau|prof|mme|sr|sra|sig)\.?\s\p{L}|^(\S+ ){0,2}("
        + _GIVEN.replace(" ", "|")
        + r")([ ,.]|$)(\S+ ?){0,3}$|^\p{L}+, ?("
        + _GIVEN.replace(" ", "|")
        + r")\b",
    ),
    "uuid": ("number", r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"),
    "code": (
        "number",
        r"^\p{L}{0,8}[-_ :#/.]?\d[\d/-]{3,}\d\p{L}{0,2}$|^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}|^[0-9a-fA-F]{16,}$",
    ),
    "capital": ("name", r"^\p{Lu}\p{Ll}[\p{L}'’-]+$"),
    "capitals": ("name", r"^\p{Lu}[\p{L}'’-]+,?( \p{Lu}[\p{L}'’.-]*){1,3}$"),
}
FORMS = {form: kind for form, (kind, _) in _FORMS.items()}
TELLING_FORMS = {"mail", "register"}
BARE_FORMS = {"capital"}  # so common that they count only below a header that is nothing but a name (`bare`)
SURE_FORMS = {"mail", "register", "account", "telephone", "street", "titled"}  # the others also fit names of things


INSIDE = {  # what stands in free text and may be of people -> RE2 pattern
    "two names in a row": r"\p{Lu}\p{Ll}+[\d'’-]*,? \p{Lu}\p{Ll}+",
    "a title before a name": r"\b(Mr|Mrs|Ms|Dr|Herr|Frau|Prof|Mme|Sr|Sra|Sig)\.? \p{Lu}",
    "a mail address": r"\S@[^\s@]+\.\w",
    "a telephone number": r"(\+|\b0|\()\d[\d ()/.-]{7,17}\d\b|\b\d{3}[ .-]\d{3}[ .-]\d{4}\b",
}
_COORDINATES = {"lat", "lon", "lng", "latitude", "longitude", "geolocation", "gps"}


@cache
def header(name: str) -> tuple[str, bool]:
    """Return the kind in `KINDS` that a header names, or "", and whether the header alone suffices.

    >>> header("patientSurname"), header("zip_code"), header("gene_name"), header("Geburtsdatum")
    (('name', True), ('place', False), ('', False), ('birth', True))
    """
    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = re.findall(r"[^\W_]+", _plain(spaced))
    runs = {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, min(i + 4, len(words)) + 1)}
    whole = "".join(words)
    if whole in _known(_ALONE):
        return "number", True
    for kind, known in _SURE.items():
        if not runs.isdisjoint(_known(known)) or any(word in whole for word in _within(known)):
            return kind, True
    if set(_OF_THINGS.split()) & set(words):
        return "", False
    if whole in _NAMES:
        return "name", whole == "maiden"
    for kind, known in _MAYBE.items():
        if not set(words).isdisjoint(_known(known)) or any(word in whole for word in _unspaced(known)):
            return kind, False
    return "", False


@cache
def bare(name: str) -> bool:
    """Return whether a header is one word that means a name or a number, and so says of nothing else that it is its.

    >>> bare("Name"), bare("airport name")
    (True, False)
    """
    words = re.findall(r"[^\W_]+", _plain(unicodedata.normalize("NFKC", name)))
    return len(words) == 1 and any(words[0] in _known(_MAYBE[kind]) for kind in ("name", "number"))


@cache
def _known(words: str) -> frozenset[str]:
    return frozenset(map(_plain, words.split()))


@cache
def _within(words: str) -> tuple[str, ...]:
    """Return the words that are also searched inside other words."""
    return tuple(filter(_compound, _known(words)))


@cache
def _unspaced(words: str) -> tuple[str, ...]:
    return tuple(filter(_UNSPACED.search, _known(words)))


def forms(values: pa.StringArray) -> dict[str, NDArray[Any]]:
    """Return (n,) bool for each form of `FORMS`: which of the values (n,) have it; a value has at most one form."""
    left = pc.invert(pc.match_substring_regex(values, r"^-?\d+[.,]\d+$")).to_numpy(zero_copy_only=False)
    having = {}
    for form, (_, pattern) in _FORMS.items():
        matched = pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False) & left
        having[form], left = matched, left & ~matched
    return having


def coordinates(name: str) -> bool:
    """Return whether a header names coordinates of a place.

    >>> coordinates("homeLat"), coordinates("flat")
    (True, False)
    """
    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return bool(_COORDINATES & set(re.findall(r"[^\W_]+", _plain(spaced))))


def inside(values: pa.StringArray) -> dict[str, NDArray[Any]]:
    """Return (n,) bool for each of `INSIDE`: which of the texts (n,) hold it."""
    return {
        what: pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False)
        for what, pattern in INSIDE.items()
    }


def wordy(values: pa.StringArray) -> NDArray[Any]:
    """Return (n,) bool: which values are free text, by many words, or many characters in a script without spaces."""
    words = pc.greater_equal(pc.count_substring_regex(values, r"\S+"), WORDS)
    signs = pc.greater_equal(pc.count_substring_regex(values, r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"), SIGNS)
    either: NDArray[Any] = pc.or_(words, signs).to_numpy(zero_copy_only=False)
    return either


def masked(values: Iterable[str]) -> tuple[str, ...]:
    """Return values masked for display: the first letter of each word stays, numbers and other scripts do not.

    >>> masked(["Maria Schmidt", "MRN-0012345", "1957-03-02", "山田太郎", "F"])
    ('M███ S███', 'M███-███', '███-███-███', '███', '███')
    """
    return tuple(_masked(value) for value in values)


def shaped(value: str) -> str:
    """Return a value masked for its owner, who has the file: as `masked`, with a 9 for each digit.

    >>> shaped("Maria Schmidt"), shaped("1957-03-02"), shaped("36.6")
    ('M███ S███', '9999-99-99', '99.9')
    """
    words = re.findall(r"[^\W\d_]+|\d+|_+|\s+|[^\w\s]", value[:400])
    shown = "".join("9" * min(len(word), 16) if word.isdecimal() else _veiled(word) for word in words[:12])
    return shown + ("…" if len(words) > 12 or len(value) > 400 else "")


def _masked(value: str) -> str:
    words = re.findall(r"[^\W\d_]+|[\d_]+|\s+|[^\w\s]", value[:400])
    shown = "".join(_veiled(word) for word in words[:12])
    return shown + ("…" if len(words) > 12 or len(value) > 400 else "")


def _veiled(word: str) -> str:
    if word.isspace():
        return " "
    if not re.match(r"\w", word):
        return word if word.isascii() else "█"
    cased = word[0].lower() != word[0].upper()
    return word[0] + "███" if cased and len(word) > 1 else "███"


def _plain(text: str) -> str:
    """Return text in lower case without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", "".join(sign for sign in apart if not unicodedata.combining(sign)))


def _compound(word: str) -> bool:
    """Return whether a word is searched inside other words (German compounds); short ones would match by chance."""
    return len(word) >= 7 or bool(_UNSPACED.search(word))
