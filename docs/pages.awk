# Reads a page for Doxygen (docs/Doxyfile). On the site a heading is found by a label, PAGE--heading, and the
# sources, which are no part of it, lie three folders up.

# Doxygen names files in full.
function from_root(path,    root) {
  root = ENVIRON["PWD"] "/"
  return index(path, root) == 1 ? substr(path, length(root) + 1) : path
}

function page(path) {
  if (path == "README.md") return "index"
  sub(/\/README\.md$/, "", path)
  sub(/\.md$/, "", path)
  sub(/.*\//, "", path)
  gsub(/[^A-Za-z0-9]/, "-", path)
  return tolower(path)
}

# A heading's anchor as code hosts name it.
function anchor(heading) {
  heading = tolower(heading)
  gsub(/[^a-z0-9 _-]/, "", heading)
  gsub(/ /, "-", heading)
  return heading
}

# What Doxygen would take for its own: a % before a letter (of any script), and a ' in a line of code.
function escaped(line,    out, parts, n, i) {
  n = split(line, parts, /`/)
  for (i = 1; i <= n; i++) {
    if (i % 2) gsub(/%/, "\\%", parts[i])
    out = out (i == 1 ? "" : (parts[i % 2 ? i - 1 : i] ~ /'/ ? "``" : "`")) parts[i]
  }
  return out
}

# folder/../x as x
function plain(path) {
  while (sub(/[^\/.]+\/\.\.\//, "", path)) {}
  return path
}

function target(link,    parts) {
  if (link ~ /^[a-z]+:/ || link ~ /\.(svg|png)$/) return link
  if (link ~ /^#/) return "#" page(here) "--" substr(link, 2)
  split(link, parts, "#")
  parts[1] = plain(folder parts[1])
  if (parts[1] !~ /\.md$/) return "../../../" parts[1]
  return "#" page(parts[1]) (parts[2] == "" ? "" : "--" parts[2])
}

FNR == 1 {
  here = folder = from_root(FILENAME)
  sub(/[^\/]*$/, "", folder)
}

/^ *```/ {
  code = !code
  if (code && !/```(cpp|cmake)$/) sub(/```.*/, "```text")
}

code { print; next }

# The sidebar shows titles as they are.
/^# / { gsub(/`/, "") }
/^# / && page(here) != "index" { print $0 " {#" page(here) "}"; next }
/^##/ {
  heading = $0
  sub(/^#+ /, "", heading)
  if (anchor(heading) ~ /[a-z0-9]/) $0 = $0 " {#" page(here) "--" anchor(heading) "}"
  print
  next
}

{
  rest = $0
  line = ""
  while (match(rest, /\]\([^) ]+\)/)) {
    line = line substr(rest, 1, RSTART + 1) target(substr(rest, RSTART + 2, RLENGTH - 3)) ")"
    rest = substr(rest, RSTART + RLENGTH)
  }
  print escaped(line rest)
}
