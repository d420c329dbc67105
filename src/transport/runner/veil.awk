# Masks what a job prints before it reaches a file. The first file, standard input, names the sign that asks for an
# answer, the file where the answer is given, and what is to be hidden, a line each; the other is the job's output.
NR == FNR {
  if (FNR == 1) sign = $0
  else if (FNR == 2) answer = $0
  else { needle[++needles] = $0; size[needles] = length($0) }
  next
}
{
  line = $0
  cut = length(line) - length(sign)
  asked = cut >= 0 && substr(line, cut + 1) == sign
  if (asked) line = substr(line, 1, cut)
  hits = 0
  for (n = 1; n <= needles; n++) {
    from = 0
    rest = line
    while (at = index(rest, needle[n])) {
      # In the order of their beginnings: of two that overlap nothing is left.
      for (h = ++hits; h > 1 && begin[h - 1] > from + at; h--) { begin[h] = begin[h - 1]; end[h] = end[h - 1] }
      begin[h] = from + at
      end[h] = from + at + size[n]
      from += at
      rest = substr(rest, at + 1)
    }
  }
  if (hits) {
    shown = ""
    next_one = 1
    for (h = 1; h <= hits; h++) {
      if (begin[h] >= next_one) shown = shown substr(line, next_one, begin[h] - next_one) "***"
      if (end[h] > next_one) next_one = end[h]
    }
    line = shown substr(line, next_one)
  }
  if (!asked || line != "") { print line; fflush() }
  if (asked) { print "" >answer; close(answer) }
}
