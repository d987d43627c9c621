"""Made-up notes of two hospitals that do not exist, filled in from templates. Equal seeds give equal notes.

The notes of one hospital are private and have names, dates and headings. The other one has published its notes without
names and in another style: they are what an adversary finds of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

FIRST = ("Ada Alba Aldo Anselm Beatrix Birk Bram Calla Cato Corin Dagny Dorrit Edda Elswyth Emrys Fenna Fitch Flora "
         "Garrick Greta Hale Hesper Ilka Ines Jory Juno Kester Lark Leopold Linnet Magnus Mabel Marlow Merle Nell "
         "Odo Orla Osric Perpetua Pip Quentin Rafe Rosamund Rowan Sabine Silas Tamsin Thane Ursula Vesper Wilf Wren "
         "Xanthe Yarrow Zeno")  # fmt: skip
LAST = ("Ashgrove Bellwether Birdwhistle Blackadder Bramblewood Candlewick Cobblepot Coldwater Crabtree Dewberry "
        "Dunnock Elderflower Fairweather Featherstone Fiddlewood Foxglove Gallowglass Goldfinch Greengage Hawthorne "
        "Hazelnut Honeycomb Inkwell Ironmonger Jackdaw Juniper Kettleburn Kingfisher Lanternlight Larkspur "
        "Longbottom Marigold Merriweather Mistlethrush Moonraker Nightingale Oakapple Oldcastle Pennyfarthing "
        "Peppercorn Pimpernel Quicksilver Quillfeather Ravenscroft Rosewater Saltmarsh Sandpiper Silverthorn "
        "Snowdrop Starling Stonecrop Swallowtail Tanglewood Thistledown Tinderbox Underhill Velveteen Wagtail "
        "Weatherby Whitlock Willowherb Woodlark Yellowhammer")  # fmt: skip
DOCTORS = "Abernathy Bonham Corvin Delacroix Eastgate Farthing Gellert Holloway Isling Jessop Kaltwasser Lorne"
MONTHS = "January February March April May June July August September October November December"


class _Case(NamedTuple):
    """The phrases among which notes of one condition choose."""

    ward: str
    complaint: str
    more: str
    examined: str
    tests: str
    impression: str
    drugs: str
    after: str


_CASES = [
    _Case("cardiology", "chest pain on exertion|a tight feeling across the chest|chest pain radiating to the left arm",
          "relieved by rest|worse when climbing stairs|with sweating and nausea|no palpitations",
          "heart sounds normal, no murmur|soft systolic murmur at the apex|no ankle oedema, lungs clear",
          "ECG shows sinus rhythm without ST changes|ECG shows T wave inversion in V4 to V6|troponin {troponin} ng/L",
          "stable angina|suspected acute coronary syndrome|atypical chest pain, low risk",
          "aspirin 75 mg daily|bisoprolol 2.5 mg daily|atorvastatin 40 mg at night|glyceryl trinitrate spray as needed",
          "exercise test next week|angiography requested|cholesterol checked in six weeks"),
    _Case("cardiology", "palpitations|an irregular heartbeat|sudden racing of the heart",
          "lasting minutes to hours|with light-headedness|after coffee and little sleep|no loss of consciousness",
          "pulse irregularly irregular|heart sounds normal, no murmur|thyroid not enlarged",
          "ECG shows atrial fibrillation|ECG shows sinus rhythm without ST changes|TSH {tsh} mU/L",
          "paroxysmal atrial fibrillation|benign ectopic beats",
          "apixaban 5 mg twice daily|bisoprolol 2.5 mg daily|metoprolol 47.5 mg daily",
          "24-hour ECG arranged|echocardiogram requested|anticoagulation clinic informed"),
    _Case("respiratory", "a productive cough|fever and a cough with green sputum|shortness of breath and fever",
          "rigors at night|pain on the right side when breathing in|smokes {pack} cigarettes a day|no haemoptysis",
          "crackles at the right base|reduced air entry on the left|respiratory rate {rate}, using accessory muscles",
          "chest X-ray shows consolidation in the right lower lobe|CRP {crp} mg/L|white cells {white} x10^9/L",
          "community-acquired pneumonia|acute bronchitis|exacerbation of chronic obstructive pulmonary disease",
          "amoxicillin 1 g three times daily|clarithromycin 500 mg twice daily|prednisolone 30 mg for five days",
          "chest X-ray repeated in six weeks|advised to stop smoking|oxygen to keep saturation above 92 %"),
    _Case("respiratory", "wheeze|tightness of the chest and a dry cough at night|breathlessness after exercise",
          "worse in cold air|uses the blue inhaler {times} times a day|hay fever every spring|a cat at home",
          "expiratory wheeze on both sides|speaks in full sentences|lungs clear, no wheeze",
          "peak flow {peak} L/min|eosinophils raised|chest X-ray normal",
          "asthma, poorly controlled|asthma, mild exacerbation|post-viral cough",
          "salbutamol inhaler as needed|budesonide and formoterol inhaler twice daily|montelukast 10 mg at night",
          "inhaler technique shown|written action plan given|review by the asthma nurse"),
    _Case("surgery", "abdominal pain moving to the right lower side|right-sided abdominal pain|pain around the navel",
          "vomited twice|no appetite since yesterday|no diarrhoea|pain worse on coughing",
          "tender in the right iliac fossa with guarding|abdomen soft, tender on deep palpation|bowel sounds normal",
          "CRP {crp} mg/L|white cells {white} x10^9/L|ultrasound shows a thickened appendix",
          "acute appendicitis|mesenteric adenitis|abdominal pain of unclear cause",
          "cefuroxime 1.5 g intravenously|metronidazole 500 mg intravenously|paracetamol 1 g four times daily",
          "laparoscopy planned tonight|nil by mouth|observed overnight"),
    _Case("surgery", "pain under the right ribs|cramps after fatty meals|upper abdominal pain through to the back",
          "lasting about {times} hours|dark urine|no fever|two similar attacks last year",
          "tender in the right upper quadrant|Murphy's sign positive|sclerae not icteric",
          "ultrasound shows gallstones|bilirubin {bili} umol/L|amylase normal",
          "acute cholecystitis|biliary colic|suspected common bile duct stone",
          "diclofenac 75 mg|co-amoxiclav 1.2 g intravenously|paracetamol 1 g four times daily",
          "cholecystectomy planned|MRCP requested|low-fat diet advised"),
    _Case("orthopaedics", "pain in the right hip after a fall|a swollen left wrist after a fall|a twisted ankle",
          "unable to bear weight|slipped on wet stairs|no loss of consciousness|takes no blood thinners",
          "leg shortened and externally rotated|swelling over the distal radius|pulses and sensation intact",
          "X-ray shows a displaced fracture|X-ray shows no fracture|haemoglobin {hb} g/L",
          "fracture of the neck of the femur|distal radius fracture|ankle sprain",
          "paracetamol 1 g four times daily|oxycodone 5 mg as needed|enoxaparin 40 mg daily",
          "theatre tomorrow morning|plaster for six weeks|bone density measured|physiotherapy"),
    _Case("neurology", "a headache on one side|sudden weakness of the left arm|numbness of the right hand",
          "with flashing lights before|speech slurred for {times} minutes|worse in the morning|no neck stiffness",
          "power reduced in the left arm|cranial nerves intact|reflexes brisk on the left|gait normal",
          "CT of the head shows no bleeding|MRI shows a small infarct|carotid ultrasound normal",
          "migraine with aura|transient ischaemic attack|ischaemic stroke",
          "sumatriptan 50 mg as needed|clopidogrel 75 mg daily|aspirin 300 mg for two weeks",
          "stroke clinic this week|not to drive for one month|headache diary"),
    _Case("diabetes", "thirst and weight loss|tiredness and passing water often|a sore on the left foot",
          "{pack} kg lost in three months|blurred vision|forgets the evening tablets|walks barefoot at home",
          "sensation reduced in both feet|foot pulses weak|retina without bleeding|ulcer of {times} mm on the heel",
          "HbA1c {hba} mmol/mol|glucose {glucose} mmol/L|creatinine {creat} umol/L|ketones negative",
          "type 2 diabetes, newly diagnosed|type 2 diabetes, poorly controlled|diabetic foot ulcer",
          "metformin 500 mg twice daily|empagliflozin 10 mg daily|insulin glargine 12 units at night",
          "dietitian this month|foot clinic every week|HbA1c repeated in three months"),
    _Case("paediatrics", "fever and a rash|ear pain|a barking cough",
          "drinking well|fewer wet nappies|vaccinations complete|a brother with the same",
          "red bulging right eardrum|blanching rash on the trunk|alert and playing|no stridor at rest",
          "temperature {temp}|urine dipstick clear|throat swab taken",
          "otitis media|viral exanthem|croup, mild",
          "ibuprofen suspension 100 mg|paracetamol suspension 120 mg|dexamethasone 2 mg once",
          "return if breathing gets worse|fluids little and often|review tomorrow"),
]  # fmt: skip
_PAST = ("hypertension|type 2 diabetes|asthma in childhood|hip replacement {year}|appendicectomy {year}|depression|"
         "hypothyroidism|chronic kidney disease|gout|nothing of note")  # fmt: skip
_HOME = ("lives alone on the third floor|lives with a partner and two children|retired teacher|works as a carpenter|"
         "works night shifts|in a nursing home since {year}|student|drinks {times} units of alcohol a week|"
         "allergic to penicillin (rash)|no known allergies")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Note:
    """A note and its ward."""

    ward: str
    text: str


def private_notes(n: int, seed: int) -> Iterator[Note]:
    """Yield `n` notes, with names, of the hospital whose records are secret."""
    yield from (_private(Random(f"private {seed} {number}")) for number in range(n))  # noqa: S311 no secret


def public_notes(n: int, seed: int) -> Iterator[Note]:
    """Yield `n` notes of another hospital, which has published them without names."""
    yield from (_public(Random(f"public {seed} {number}")) for number in range(n))  # noqa: S311 no secret


def _private(rng: Random) -> Note:
    case, sex = rng.choice(_CASES), rng.choice("mf")
    title, they = ("Mr", "He") if sex == "m" else ("Ms", "She")
    name = f"{_name(rng, FIRST)} {_name(rng, LAST)}"
    age = rng.randint(1, 15) if case.ward == "paediatrics" else rng.randint(19, 94)
    when = f"{rng.randint(1, 28)} {_name(rng, MONTHS)} {rng.randint(2015, 2024)}"
    born = f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{2024 - age}"
    title = "" if age < 16 else f"{title} "
    lines = [
        f"{title}{name}, born {born}, seen on {when} by Dr {_name(rng, DOCTORS)}.",
        f"Came with {_one(rng, case.complaint)} for {_time(rng)}, {_some(rng, case.more, 2)}.",
        f"History: {_some(rng, _PAST, rng.randint(1, 2))}; {_some(rng, _HOME, 1)}.",
        f"BP {rng.randint(95, 185)}/{rng.randint(55, 105)}, pulse {rng.randint(52, 128)}, "
        f"SpO2 {rng.randint(88, 100)} %, {rng.randint(360, 397) / 10} C. "
        f"{_capital(_some(rng, case.examined, rng.randint(1, 2)))}.",
        f"{_capital(_some(rng, case.tests, rng.randint(1, 2)))}.",
        f"Impression: {_one(rng, case.impression)}.",
        f"Plan: {_some(rng, case.drugs, rng.randint(1, 2))}; {_some(rng, case.after, rng.randint(1, 2))}.",
    ]
    if rng.random() < 0.3:
        lines.append(f"{they} was told to call {rng.randint(2, 9)}55-{rng.randint(1000, 9999)} if this gets worse.")
    return Note(case.ward, _filled(rng, " ".join(lines)))


def _public(rng: Random) -> Note:
    case, sex = rng.choice(_CASES), rng.choice(("man", "woman"))
    age = rng.randint(1, 15) if case.ward == "paediatrics" else rng.randint(19, 94)
    who = f"{age}-year-old {sex}" if age > 15 else f"{age}-year-old child"
    lines = [
        f"{who} presenting to {case.ward} with {_one(rng, case.complaint)} of {_time(rng)} duration.",
        f"Reports: {_some(rng, case.more, 2)}.",
        f"Past medical history of {_some(rng, _PAST, rng.randint(1, 2))}. Social: {_some(rng, _HOME, 1)}.",
        f"On examination {_some(rng, case.examined, rng.randint(1, 2))}. Temperature {rng.randint(360, 397) / 10}, "
        f"blood pressure {rng.randint(95, 185)}/{rng.randint(55, 105)}, heart rate {rng.randint(52, 128)}, "
        f"saturation {rng.randint(88, 100)} % on air.",
        f"Investigations: {_some(rng, case.tests, rng.randint(1, 2))}.",
        f"Diagnosis of {_one(rng, case.impression)}. Started on {_some(rng, case.drugs, rng.randint(1, 2))}.",
        f"Follow-up: {_some(rng, case.after, rng.randint(1, 2))}.",
    ]
    return Note(case.ward, _filled(rng, " ".join(lines)))


def _name(rng: Random, names: str) -> str:
    return rng.choice(names.split())


def _one(rng: Random, choices: str) -> str:
    return rng.choice(choices.split("|"))


def _some(rng: Random, choices: str, n: int) -> str:
    return ", ".join(rng.sample(choices.split("|"), n))


def _time(rng: Random) -> str:
    return rng.choice((f"{rng.randint(2, 10)} days", f"{rng.randint(2, 6)} weeks", f"{rng.randint(2, 20)} hours"))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _filled(rng: Random, text: str) -> str:
    """Return a text in which each `{name}` is replaced by a number drawn from the range of that name."""
    return text.format(
        troponin=rng.randint(3, 900), tsh=rng.randint(2, 89) / 10, pack=rng.randint(4, 40), rate=rng.randint(18, 38),
        crp=rng.randint(2, 320), white=rng.randint(41, 229) / 10, times=rng.randint(2, 12),
        peak=rng.randint(18, 60) * 10, bili=rng.randint(5, 120), hb=rng.randint(72, 165), hba=rng.randint(44, 121),
        glucose=rng.randint(48, 260) / 10, creat=rng.randint(52, 310), temp=rng.randint(365, 402) / 10,
        year=rng.randint(1989, 2022),
    )  # fmt: skip
