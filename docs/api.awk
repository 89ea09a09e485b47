# Reads a header for Doxygen (docs/Doxyfile), in which, as for a reader of the source,
#   - overloads (and operators) that stand together share the comment of the first,
#   - a // comment behind a member describes it,
#   - what a comment indents is shown as it is,
#   - // ---- begins a group of members,
#   - some members need no comment, since they are the same everywhere.

function first_column() { return match($0, /[^ ]/) }

# The function that a line declares: the word before its first parenthesis.
function declared(line) {
  sub(/^ *requires *\(.*\) /, "", line)
  sub(/^ *requires [^ ]* /, "", line)
  if (line ~ /operator[^A-Za-z]/) return "operator"
  return match(line, /[~A-Za-z_0-9]+\(/) ? substr(line, RSTART, RLENGTH - 1) : ""
}

function release() {
  printf "%s", held
  held = ""
}

/^ *\/\/\// {
  release()
  if (!in_comment) comment = ""
  in_comment = 1
  sub(/\/\/\/   /, "///       ")
  comment = comment $0 "\n"
  next
}

/^  \/\/ ---- / {
  release()
  sub(/^  \/\/ ---- /, "")
  print (grouped ? "  /// @}\n" : "") "  /// @name " toupper(substr($0, 1, 1)) substr($0, 2) "\n  /// @{\n"
  grouped = 1
  comment = name = ""
  next
}
grouped && (/^ [a-z]+:$/ || /^};/) {
  release()
  print "  /// @}"
  grouped = 0
}

# A comment in front of a namespace is about the file.
in_comment { printf "%s%s", /^namespace/ ? "/// @file\n" : "", comment }

!/^ *\/\// { sub(/[;,] +\/\/ /, "&<"); sub(/\/\/ </, "///< ") }

/^ *$/ || /^ *\/\// {
  release()
  comment = name = ""
  in_comment = 0
  print
  next
}

# fmt's formatters are no API, and Doxygen does not know fmt.
/^template <>$/ { next }
/^struct fmt::formatter</, /^};/ { next }

!in_comment {
  same = ""
  if (/ void visit\((nn::)?Visitor& v\)/) same = "Names the parts."
  else if (/ Tensor operator\(\)\(const Tensor/) same = "The result: see the description of the struct."
  else if (/ operator=\(/) same = "Assignment."
  else if (/ explicit operator bool\(\)/) same = "Whether it is there, or all is well."
  else if (/ friend .*operator==\(/) same = "Equality."
  else if (/^  ([A-Z][A-Za-z]*)\((const )?[A-Z][A-Za-z]*&+( [a-z]+)?\)/) same = "Copies or moves."
  if (same != "") {
    release()
    print "/// " same
    print
    next
  }
}

{
  if (in_comment) {
    column = first_column()
    in_comment = 0
    fresh = 1
  }
  if (comment == "" || first_column() != column || /^ *[}#]/) {
    release()
    print
    next
  }
  held = held $0 "\n"
  if (declared($0) == "" && !/[;{]/) next  # template <…>: the name follows
  if (fresh)
    name = declared($0)
  else if (name != "" && declared($0) == name)
    printf "%s", comment
  else
    comment = ""
  fresh = 0
  release()
}

END { release() }
