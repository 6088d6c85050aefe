# Reads the events of go test -json, one per line, and prints a short report. Exits 1 if a test or a package failed or a test was skipped.
#
# A key of an event differs from text inside its output, because quotes in the
# output are escaped.

function field(name,    at, rest) {
  at = index($0, "\"" name "\":\"")
  if (!at) return ""
  rest = substr($0, at + length(name) + 4)
  match(rest, /^([^"\\]|\\.)*/)
  rest = substr(rest, 1, RLENGTH)
  gsub(/\\n/, "\n", rest); gsub(/\\t/, "\t", rest); gsub(/\\"/, "\"", rest)
  gsub(/\\u003c/, "<", rest); gsub(/\\u003e/, ">", rest); gsub(/\\u0026/, "\\&", rest)
  gsub(/\\u001b\[[0-9;]*m/, "", rest); gsub(/\\\\/, "\\", rest)
  return rest
}

# show prints the last lines of a text, indented.
function show(text, most,    lines, n, i) {
  n = split(text, lines, "\n")
  for (i = (n > most ? n - most : 1); i <= n; i++) if (lines[i] != "") print "    " lines[i]
}

function seconds(    at) {
  at = index($0, "\"Elapsed\":")
  return at ? substr($0, at + 10) + 0 : 0
}

{
  action = field("Action"); pkg = field("Package"); test = field("Test"); key = pkg " " test
}
action == "build-output" { printf "%s", field("Output"); next }
action == "output"       { said[key] = substr(said[key] field("Output"), 1 + (length(said[key]) > 65536 ? 32768 : 0)); next }
action == "pass" && test != "" { passed++; delete said[key]; next }
action == "skip" && test != "" {
  skipped++; print "SKIPPED " key; show(said[key], 5); delete said[key]; next
}
action == "fail" && test != "" {
  failures++; failedIn[pkg]++; print "FAILED " key; show(said[key], 60); delete said[key]; next
}
action == "fail" {
  broken++; printf "FAIL    %s (%.1f s)\n", pkg, seconds()
  # The process died in a test without a result.
  for (k in said) if (index(k, pkg " ") == 1 && (k != key || !failedIn[pkg])) { print "UNFINISHED " k; show(said[k], 60) }
}
action == "pass" { printf "ok      %s (%.1f s)\n", pkg, seconds() }
action == "skip" { printf "        %s (no tests)\n", pkg }
{ fflush() }

END {
  printf "%d passed, %d failed, %d skipped\n", passed, failures, skipped
  exit failures + broken + skipped > 0
}
