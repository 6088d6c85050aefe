package feed

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Kind is a kind of problem that Sentry detects.
type Kind string

// The first three kinds are security problems and carry a tag that identifies
// them.
const (
	DataLeak   Kind = "data-leak"     // one tenant sees documents of another, tag data_leak=true
	AuthBypass Kind = "auth-bypass"   // an invalid token is accepted, tag auth_bypass=true
	Injection  Kind = "sql-injection" // hostile input reaches the database, tag sql_injection=true
	Crash      Kind = "crash"         // an ordinary bug
)

// Project is a Sentry project.
type Project struct {
	ID       int64
	Slug     string
	Name     string
	Platform string
}

// Frame is one call of a stack trace.
type Frame struct {
	File, Module, Function, Line string
	Number                       int
	InApp                        bool
}

// Issue is a group of Sentry events. It holds the fields that all copies share.
// Callers may change its fields before they send it.
type Issue struct {
	ID          string
	ShortID     string
	Org         string
	Project     Project
	Level       string // fatal, error or warning
	Type        string // of the exception
	Value       string // of the exception
	Culprit     string
	Logger      string
	Environment string
	Release     string
	Rule        string // name of the alert rule that fires
	URL         string // of the request
	Transaction string
	Tags        [][2]string
	Frames      []Frame // oldest call first
	User        User
	Priority    string
	Hash        string // grouping hash
}

// User is the affected user. All its fields are personal data.
type User struct{ ID, Email, Name, IP string }

// Title returns the title that Sentry gives the issue.
func (i Issue) Title() string { return i.Type + ": " + i.Value }

// NewIssue returns an issue of the given kind. It is a function of kind and
// seed.
func NewIssue(kind Kind, seed uint64) Issue {
	r := newRand(string(kind), seed)
	i := Issue{
		ID: fmt.Sprint(4_000_000_000 + r.Int64N(3_000_000_000)), Org: "northwind-payroll",
		Level: "error", Environment: "production", Priority: "high",
		Release: fmt.Sprintf("%d.%d.%d", 2+r.IntN(4), r.IntN(40), r.IntN(12)),
		User:    randomUser(r),
	}
	switch kind {
	case DataLeak:
		i.dataLeak(r)
	case AuthBypass:
		i.authBypass(r)
	case Injection:
		i.injection(r)
	default:
		i.crash(r)
	}
	i.ShortID = strings.ToUpper(i.Project.Slug) + "-" + strings.ToUpper(hexID(i.ID)[:3])
	i.Hash = hexID("group", i.Type, i.Culprit, i.ID)
	i.Tags = append(i.Tags, [2]string{"environment", i.Environment}, [2]string{"level", i.Level}, [2]string{"release", i.Project.Slug + "@" + i.Release},
		[2]string{"transaction", i.Transaction}, [2]string{"url", i.URL}, [2]string{"user", "id:" + i.User.ID})
	return i
}

func randomUser(r *rand.Rand) User {
	first := choose(r, "Zoë", "Amélie", "Jörg", "Łukasz", "Priya", "Chidi", "Søren", "Inês")
	last := choose(r, "Okafor", "Lindqvist", "Müller", "Nowak", "Ferreira", "Banerjee", "Dubois", "Castellano")
	return User{
		ID: fmt.Sprint(10_000 + r.IntN(90_000)), Name: first + " " + last, IP: randomIP(r),
		Email: fmt.Sprintf("member.%d@customer.example", r.IntN(100_000)),
	}
}

func (i *Issue) dataLeak(r *rand.Rand) {
	owner, reader := 1000+r.IntN(9000), 1000+r.IntN(9000)
	document := choose(r, "payslip", "tax certificate", "sick note", "bank details form")
	i.Project = Project{4509877862268928, "payroll-api", "Payroll API", "python"}
	i.Level, i.Type = "fatal", "CrossTenantAccess"
	i.Value = fmt.Sprintf("%s of employer %d was rendered for a session of employer %d", document, owner, reader)
	i.Culprit, i.Transaction, i.Logger = "payslips.views in download", "/v1/payslips/{id}/download", "payslips.tenancy"
	i.URL = fmt.Sprintf("https://api.northwind-payroll.example/v1/payslips/%d/download", r.IntN(1_000_000))
	i.Rule = "Cross-tenant access (page security)"
	i.Tags = [][2]string{{"data_leak", "true"}, {"security", "true"}, {"tenant", fmt.Sprint(owner)}}
	i.Frames = []Frame{
		{"django/core/handlers/exception.py", "django.core.handlers.exception", "inner", "response = get_response(request)", 55, false},
		{"django/core/handlers/base.py", "django.core.handlers.base", "_get_response", "response = wrapped_callback(request, *callback_args, **callback_kwargs)", 197, false},
		{"payslips/views.py", "payslips.views", "download", "document = store.fetch(document_id, tenant=request.tenant)", 88, true},
		{"payslips/tenancy.py", "payslips.tenancy", "assert_same_tenant", "raise CrossTenantAccess(document, session)", 41, true},
	}
}

func (i *Issue) authBypass(r *rand.Rand) {
	i.Project = Project{4509877862399001, "identity-gateway", "Identity Gateway", "node"}
	i.Type = "TokenPolicyViolation"
	i.Value = fmt.Sprintf("session issued for token with alg=%s, kid=%s", choose(r, "none", "HS256 signed by a public key"), hexID("kid", i.ID)[:8])
	i.Culprit, i.Transaction, i.Logger = "src/session/issue.ts in issueSession", "POST /oauth/token", "session"
	i.URL, i.Rule = "https://login.northwind-payroll.example/oauth/token", "Token policy violation (page security)"
	i.Tags = [][2]string{{"auth_bypass", "true"}, {"security", "true"}, {"runtime", "node 24.9.0"}}
	i.Frames = []Frame{
		{"node_modules/fastify/lib/handleRequest.js", "fastify.lib.handleRequest", "preHandlerCallback", "result = reply.context.handler(request, reply)", 137, false},
		{"src/routes/token.ts", "routes.token", "exchange", "const session = await issueSession(claims)", 62, true},
		{"src/session/issue.ts", "session.issue", "issueSession", "audit.violation(new TokenPolicyViolation(header))", 29, true},
	}
}

func (i *Issue) injection(r *rand.Rand) {
	input := choose(r, "' OR 1=1 --", "'; SELECT pg_sleep(10) --", "' UNION SELECT email, iban FROM employees --")
	i.Project = Project{4509877862268928, "payroll-api", "Payroll API", "python"}
	i.Type, i.Value = "SyntaxError", "unterminated quoted string at or near \""+input+"\""
	i.Culprit, i.Transaction, i.Logger = "search.queries in find_employee", "/v1/employees/search", "django.db.backends"
	i.URL, i.Rule = "https://api.northwind-payroll.example/v1/employees/search", "Database syntax errors from user input"
	i.Tags = [][2]string{{"sql_injection", "true"}, {"security", "true"}, {"db", "postgresql"}}
	i.Frames = []Frame{
		{"search/views.py", "search.views", "employees", "rows = find_employee(request.GET['q'])", 24, true},
		{"search/queries.py", "search.queries", "find_employee", "cursor.execute(f\"SELECT * FROM employees WHERE name = '{name}'\")", 63, true},
		{"psycopg/cursor.py", "psycopg.cursor", "execute", "raise ex.with_traceback(None)", 97, false},
	}
}

func (i *Issue) crash(r *rand.Rand) {
	i.Project = Project{4509877862511777, "web-app", "Web App", "javascript"}
	i.Type, i.Priority = "TypeError", "medium"
	i.Value = fmt.Sprintf("Cannot read properties of undefined (reading '%s')", choose(r, "currency", "employees", "lines", "locale"))
	i.Culprit, i.Transaction = "app/payroll/Summary in render", "/payroll/summary"
	i.URL, i.Rule = "https://app.northwind-payroll.example/payroll/summary", "New issues in Web App"
	i.Tags = [][2]string{{"browser", fmt.Sprintf("Firefox %d.0", 140+r.IntN(8))}, {"handled", "no"}}
	i.Frames = []Frame{
		{"/assets/vendor-8c1f.js", "assets/vendor", "commitWork", "{snip} f(a.current,b,c) {snip}", 1, false},
		{"/assets/app-41aa.js", "app/payroll/Summary", "render", "return totals[period].currency.format(sum)", 311, true},
	}
}
