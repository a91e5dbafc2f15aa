"""What written short forms stand for: titles, abbreviations, units, currencies, symbols, names."""

from facespeak_jax.speech.tables import table, words

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
MONTH = (
    r"(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)

SCALES = table("k thousand, m million, mn million, b billion, bn billion, tn trillion")
MONEY = {  # the coin worth a hundredth is "" where there is none
    "$": ("dollar", "cent"),
    "US$": ("dollar", "cent"),
    "£": ("pound", "penny"),
    "€": ("euro", "cent"),
    "¥": ("yen", ""),
    "₹": ("rupee", "paisa"),
}
PLURALS = table("penny pence, paisa paise, yen yen, foot feet, inch inches, hertz hertz")
UNITS = table(
    "km kilometer, m meter, cm centimeter, mm millimeter, um micrometer, nm nanometer, mi mile, ft "
    "foot, yd yard, in inch, kg kilogram, g gram, mg milligram, lb pound, lbs pound, oz ounce, l "
    "liter, L liter, ml milliliter, mL milliliter, kb kilobyte, KB kilobyte, MB megabyte, GB "
    "gigabyte, TB terabyte, Hz hertz, kHz kilohertz, MHz megahertz, GHz gigahertz, W watt, kW "
    "kilowatt, MW megawatt, V volt, kWh kilowatt hour, mAh milliamp hour, dB decibel, ms "
    "millisecond, s second, sec second, secs second, min minute, mins minute, h hour, hr hour, hrs "
    "hour, yr year, yrs year, px pixel, cal calorie, kcal kilocalorie"
)
RATES = table(
    "mph miles per hour, km/h kilometers per hour, kmh kilometers per hour, kph kilometers per "
    "hour, m/s meters per second, fps frames per second, rpm revolutions per minute, bpm beats per "
    "minute, kbps kilobits per second, Mbps megabits per second, Gbps gigabits per second"
)

TITLES = table(
    "Mr Mister, Mrs Missus, Ms Miz, Prof Professor, Capt Captain, Lt Lieutenant, Col Colonel, "
    "Gen General, Sgt Sergeant, Rev Reverend, Hon Honorable, Gov Governor, Sen Senator, "
    "Rep Representative, Pres President, Mt Mount, Ft Fort, Cmdr Commander, Maj Major"
)
ABBREVIATIONS = table(
    "etc et cetera, approx approximately, dept department, Dept Department, est established, Inc "
    "Incorporated, Corp Corporation, Ltd Limited, Ave Avenue, Blvd Boulevard, Rd Road, Hwy "
    "Highway, Jr Junior, Sr Senior, govt government, misc miscellaneous, tel telephone, ext "
    "extension, Bros Brothers, Univ University, incl including, excl excluding, max maximum, min "
    "minimum, avg average, vs versus, Mon Monday, Tue Tuesday, Tues Tuesday, Thu Thursday, Thur "
    "Thursday, Thurs Thursday, Fri Friday, Jan January, Feb February, Apr April, Jun June, Jul "
    "July, Aug August, Sep September, Sept September, Oct October, Nov November, Dec December"
)
WITHIN_SENTENCE = table("Sun Sunday, Sat Saturday, Wed Wednesday, Mar March")  # else words
BEFORE_NUMBER = table(
    "no number, nos numbers, p page, pp pages, vol volume, fig figure, c circa, ca circa, ch "
    "chapter, sec section, pt part, eq equation, art article, ver version"
)
INITIALS = table("e.g. for example, i.e. that is, a.k.a. A K A, ph.d. P H D")
ADDRESS = table(
    ". dot, / slash, - dash, _ underscore, + plus, ? question mark, = equals, & and, # hash, % "
    "percent, : colon, ~ tilde, @ at"
)

# Words that open a sentence: a point before them is a full stop even after an abbreviation.
STARTERS = (
    r"(?:He|She|It|The|They|We|You|I|But|And|In|On|At|This|That|These|There|Then|When|What|Why|How|So|If|"
    r"A|An|My|His|Her|Our|Their|For|No|Yes|As|After|Before|However|Now|Not|Or|Of)\b"
)
SENTENCE_END = rf"(?=\s*$|\s*\n|\s+{STARTERS})"
COUNTED = (
    r"[Cc]hapter|[Pp]art|[Vv]olume|[Ww]ar|[Aa]ct|[Ss]cene|[Bb]ook|[Pp]hase|[Tt]ype|[Ll]evel|[Ss]tage|"
    r"[Ss]ection|[Aa]rticle|[Cc]lass|[Gg]rade|[Bb]owl|[Rr]ound|[Ee]pisode|[Aa]ppendix|[Tt]itle|"
    r"[Cc]ategory|[Mm]ark|[Tt]ier"
)
NUMBERED = (
    r"[Rr]oom|[Ff]light|[Rr]oute|[Hh]ighway|[Ss]uite|[Aa]partment|[Ii]nterstate|Boeing|Airbus"
)
CROWNED = (
    "Albert|Alexander|Alfonso|Baldwin|Benedict|Catherine|Charles|Christian|Clement|Constantine|"
    "Edward|Elizabeth|Ferdinand|Francis|Frederick|George|Gregory|Gustav|Harald|Henry|Innocent|"
    "James|John|Joseph|Leo|Leopold|Louis|Margrethe|Mary|Maximilian|Napoleon|Nicholas|Olav|Otto|"
    "Paul|Peter|Philip|Pius|Ramesses|Richard|Robert|Rudolf|Sixtus|Umberto|Urban|Wilhelm|William"
)
BEFORE_YEAR = words(
    "in since by until till from before after during circa year early late mid spring summer "
    "autumn fall winter of and to"
)
# Capitals that are read letter by letter although the dictionary lists a word of the same spelling.
SPELT = words("ai am er id ip it iv la led md mit os pr ui un us va")

CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛ʼ′`´", "'"),
        **dict.fromkeys("‐‑⁃−", "-"),
        **dict.fromkeys("‒–—―", "—"),
        **dict.fromkeys("©®™", " "),
        **dict.fromkeys("•▪◦‣·", "*"),
        **table(
            "ß ss, æ ae, Æ Ae, œ oe, Œ Oe, ø o, Ø O, đ d, Đ D, ð th, þ th, Þ Th, ł l, Ł L, ı i"
        ),
        **table("² ^2, ³ ^3, ⁄ /, … ..., µ u, μ u"),
        **{
            sign: f" {name} "
            for sign, name in table(
                "< is less than, > is greater than, × times, ÷ divided by, ± plus or minus, ≈ "
                "about, ≠ is not equal to, ≤ at most, ≥ at least, √ square root of, ∞ infinity, → "
                "to, § section, Ω ohms, α alpha, β beta, γ gamma, δ delta, Δ delta, ε epsilon, θ "
                "theta, λ lambda, π pi, σ sigma, ω omega"
            ).items()
        },
    }
)
