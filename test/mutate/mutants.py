"""mutants.py - small mistakes that could be in a C file, one at a time.

A mutant is a place in a file and other text for it. Places are found in the file's text with
comments, strings and preprocessor lines blanked, so that what is found is code. The operators:

    condition   an if's or ?:'s condition negated; && for ||
    comparison  < for <=, == for !=, and so on
    constant    a whole number one more or one less, a fraction doubled
    arithmetic  + for -, * for +, += for -=, ++ for --, << for >>, & for |
    dropped     an assignment, a call, a break, or an if with what it guards, left out
    arguments   two neighbours of a call's arguments swapped

Left out is what no run can show: the size of an array that is declared (the sanitizers' matter),
a prefetch, and the factors of a product-and-sum swapped.
"""
import collections
import re

Mutant = collections.namedtuple("Mutant", "path start end text kind line")

KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "do", "else", "defined"}
COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
ARITHMETIC = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "+=": "-=", "-=": "+=",
              "++": "--", "--": "++", "&&": "||", "||": "&&", "<<": ">>", ">>": "<<",
              "&": "|", "|": "&", "*=": "+=", "|=": "&="}
# A declaration up to the bracket of an array's size.
DECLARED = re.compile(r"[;{]\s*(?:(?:static|const|unsigned|struct|enum)\s+)*[A-Za-z_]\w*\s+(?:[^;(){}=]*,\s*)?"
                      r"\**[A-Za-z_]\w*(?:\[[^\]]*\])*\[$")
TOKEN = re.compile(r"[A-Za-z_]\w*|0[xX][0-9a-fA-F]+[uUlL]*|\d+\.?\d*(?:[eE][-+]?\d+)?[uUlLfF]*"
                   r"|\.\d+(?:[eE][-+]?\d+)?[fF]?|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\|"
                   r"|[-+*/%&|^]=|\S")


def blanked(text):
    """The text with everything that is no code replaced by spaces, line ends kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    text = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def closing(code, at):
    """Where the bracket that opens at `at` closes; None if it does not."""
    depth = 0
    for i in range(at, len(code)):
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i
    return None


def statement_end(code, at):
    """Behind the statement that begins at `at`: a block, or all up to its semicolon."""
    while code[at].isspace():
        at += 1
    if code[at] == "{":
        return closing(code, at) + 1
    word = re.match(r"(if|for|while|switch)\b\s*", code[at:])
    if word:
        end = statement_end(code, closing(code, at + word.end()) + 1)
        other = re.match(r"\s*else\b", code[end:])
        return statement_end(code, end + other.end()) if word[1] == "if" and other else end
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if code[i] == ";" and depth == 0:
            return i + 1
    return len(code)


def bodies(code):
    """(start, end) of the blocks of functions, and of the initialisers of tables."""
    at, found = 0, []
    while True:
        at = code.find("{", at)
        if at < 0:
            return found
        end = closing(code, at)
        if end is None:
            return found
        before = code[:at].rstrip()
        if before.endswith(")"):
            found.append((at, end, True))
        elif before.endswith("="):
            found.append((at, end, False))
        at = end + 1


def arguments(code, opening):
    """The (start, end) of each argument of a call."""
    end, parts, depth, first = closing(code, opening), [], 0, opening + 1
    for i in range(opening + 1, end + 1):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if i == end or (code[i] == "," and depth == 0):
            parts.append((first, i))
            first = i + 1
    return [p for p in parts if code[p[0]:p[1]].strip()]


def off_by_one(token):
    digits = re.match(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)$", token)
    if digits:
        value = int(digits[1], 0) if digits[1] == "0" or not digits[1].startswith("0") \
            or "x" in digits[1].lower() else int(digits[1], 8)
        return [str(v) + digits[2] for v in (value + 1, value - 1) if v >= 0]
    number = re.match(r"([\d.]+(?:[eE][-+]?\d+)?)([fF]?)$", token)
    if not number:
        return []
    return [repr(2 * float(number[1])) + number[2]] if float(number[1]) else []


def in_tokens(code, start, end, function):
    """Operators that change a token."""
    before = ""
    for match in TOKEN.finditer(code, start, end):
        token, at = match.group(), match.span()
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            if before == "[" and DECLARED.search(code, max(0, at[0] - 200), at[0]):
                continue
            for other in off_by_one(token):
                yield at[0], at[1], other, "constant"
        elif not function:
            pass
        elif token in COMPARISONS:
            yield at[0], at[1], COMPARISONS[token], "comparison"
        elif token in ARITHMETIC:
            # A name, a number or a closing bracket stands before what has two operands; a
            # declaration's star follows a type and has no space behind it.
            two = before and (before[-1].isalnum() or before[-1] in "_)]") and \
                before not in KEYWORDS
            spaced = code[at[1]].isspace()
            if token in ("++", "--") or (two and spaced):
                yield at[0], at[1], ARITHMETIC[token], "arithmetic"
        before = token


def in_statements(code, start, end):
    """Operators that change a statement, a condition or a call."""
    for match in re.finditer(r"\bif \(", code[start:end]):
        at = start + match.end() - 1
        close = closing(code, at)
        yield at, close + 1, "(!" + code[at:close + 1] + ")", "condition"
        if not re.search(r"\belse\s*$", code[:start + match.start()]):
            stop = statement_end(code, start + match.start())
            yield start + match.start(), stop, ";", "dropped"
    for match in re.finditer(r"[;{}:)]\s*((?:\+\+|--|\*)?[A-Za-z_][\w.\[\]>()-]*"
                             r"(?: [-+*/|&<>^]*= | ?\(|\+\+;|--;)|break;)", code[start:end]):
        at = start + match.start(1)
        word = re.match(r"\w*", code[at:]).group()
        if word in KEYWORDS or word in ("va_start", "va_end") or \
                (code[at - 1] == ")" and not code[at - 1].isspace()):
            continue
        yield at, statement_end(code, at), ";", "dropped"
    for match in re.finditer(r"\b([A-Za-z_]\w*)\(", code[start:end]):
        if match[1] in KEYWORDS:
            continue
        opening = start + match.end() - 1
        parts = arguments(code, opening)
        for a, b in zip(parts, parts[1:]):
            left, right = code[a[0]:a[1]], code[b[0]:b[1]]
            factors = match[1].endswith("fma") and a == parts[0]
            if left.strip() != right.strip() and not factors:
                yield a[0], b[1], None, "arguments"


def swapped(text, start, end, code):
    """Two arguments and the comma between them, the other way round."""
    depth = 0
    for i in range(start, end):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if code[i] == "," and depth == 0:
            left, right = text[start:i], text[i + 1:end]
            lead = right[:len(right) - len(right.lstrip())]
            return right.lstrip() + "," + lead + left.strip()
    raise ValueError("no comma")


def of_file(path, text):
    """All mutants of a file, by place."""
    code = re.sub(r"_mm_prefetch\([^;]*;", lambda m: re.sub(r"[^\n]", " ", m.group()), blanked(text))
    found = set()
    for start, end, function in bodies(code):
        places = list(in_tokens(code, start, end, function))
        if function:
            places += in_statements(code, start + 0, end)
        for first, last, other, kind in places:
            if kind == "condition":
                other = "(!" + text[first:last] + ")"
            elif kind == "arguments":
                other = swapped(text, first, last, code)
            found.add(Mutant(path, first, last, other, kind, text.count("\n", 0, first) + 1))
    return sorted(m for m in found if m.text != text[m.start:m.end])


def apply(mutant, text):
    return text[:mutant.start] + mutant.text + text[mutant.end:]
