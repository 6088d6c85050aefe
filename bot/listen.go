package bot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/doctor"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/telemetry"
	"tocsin/bot/vulnreport"
	"tocsin/bot/web"
)

// maxHeaderBytes is the maximum size of the header of a request. Each connection
// can hold one in memory before its sender is known.
const maxHeaderBytes = 16 << 10

// listen opens the public listener, the one of the telemetry and the control socket.
func (b *Bot) listen(ctx context.Context) (err error) {
	b.readiness = b.newReadiness()
	b.heartbeat = telemetry.NewHeartbeat(b.start.Telemetry, b.readiness, b.parts)
	b.server = &http.Server{Handler: b.publicHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeaderBytes, ConnContext: b.admission.ConnContext, ErrorLog: slog.NewLogLogger(b.log.With("component", "http").Handler(), slog.LevelWarn)}
	b.server.RegisterOnShutdown(func() { close(b.stopping) })
	b.telemetryServer = &http.Server{Handler: b.telemetryHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: b.server.ErrorLog}
	if b.start.Web.TLS.On() {
		if b.certificate, err = web.OpenCertificate(b.start.Web.TLS, b.clock, b.log); err != nil {
			return err
		}
		b.server.TLSConfig = b.certificate.Config()
	}
	if b.listener, err = listenAt(ctx, "listen", b.start.Listen, "127.0.0.1:8080"); err != nil {
		return err
	}
	if b.telemetryListener, err = listenAt(ctx, "telemetry.listen", b.start.Telemetry.Listen, "127.0.0.1:9464"); err != nil {
		return err
	}
	if path := b.start.ControlPath(); path != "" {
		if b.controlListener, err = control.Listen(path, b.start.Control.Group); err != nil {
			return err
		}
	}
	return nil
}

// servePublic serves the public listener.
func (b *Bot) servePublic() error {
	l := b.admission.Listener(b.listener)
	if b.certificate != nil {
		return ignoreServerClosed(b.server.ServeTLS(l, "", ""))
	}
	return ignoreServerClosed(b.server.Serve(l))
}

// partCertificate is the name of the part of the certificate.
const partCertificate = "TLS certificate"

// certificateParts returns the part of the certificate if there is one.
func (b *Bot) certificateParts() []telemetry.Part {
	if b.certificate == nil {
		return nil
	}
	return []telemetry.Part{{Name: partCertificate, Check: b.certificate.Check, IsCritical: true, Effect: "Senders and browsers refuse to connect when the certificate expires"}}
}

// publicHandler returns the handler of the public listener. The paths of each group exist
// only if the configuration serves it.
func (b *Bot) publicHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveAlive)
	mux.HandleFunc("GET /readyz", b.readiness.ServeStatus)
	mux.HandleFunc("GET "+doctor.Path+"{token}", b.serveDoctor)
	if b.start.Web.Serves(web.ServeWebhooks) {
		mux.Handle("/hooks/", b.edge)
		if inbound, maxBody := b.chat.Inbound(); inbound != nil {
			mux.Handle("/"+b.chat.Name()+"/", b.admission.Limit(maxBody, inbound))
		}
		if b.reportForm != nil {
			mux.Handle("/report", b.admission.Limit(vulnreport.MaxFormBytes, b.reportForm))
		}
		if b.securityTxt != nil {
			mux.Handle("GET /.well-known/security.txt", b.securityTxt)
		}
	}
	if b.start.Web.Serves(web.ServePages) {
		mux.Handle("GET "+web.StatusPath+"{token}", b.admission.Limit(0, web.NewStatusPage(b.statusPage, b.log)))
		mux.Handle("/", b.admission.Limit(web.MaxBody, http.HandlerFunc(b.servePages)))
	} else {
		mux.HandleFunc("/", serveUnknown)
	}
	return mux
}

// telemetryHandler returns the handler of the listener that is not public.
func (b *Bot) telemetryHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveAlive)
	mux.Handle("GET /readyz", b.readiness)
	mux.Handle("GET /metrics", b.metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/", serveUnknown)
	return mux
}

// openPages creates the pages of a generation if they have an address.
func (b *Bot) openPages(c config.Config) (*web.Server, error) {
	if c.PublicURL == "" {
		return nil, nil
	}
	return web.New(c.PublicURL, web.Deps{Desk: func() web.Desk { return b.Desk() }, Sessions: b.store, SignIn: c.Web.SignIn, Stopping: b.stopping, Now: b.clock, Log: b.log,
		Checkpoint: func(ctx context.Context) (string, error) {
			c, err := b.store.LatestCheckpoint(ctx)
			return c.Note, err
		},
		Sender: func(r *http.Request) string { return b.admission.Sender(r).String() }})
}

// servePages serves the pages of the current generation.
func (b *Bot) servePages(w http.ResponseWriter, r *http.Request) {
	if pages := b.current.Load().pages; pages != nil {
		pages.ServeHTTP(w, r)
		return
	}
	serveUnknown(w, r)
}

// listenAt opens a listener at the address that a key of the configuration has.
func listenAt(ctx context.Context, key, address, example string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, describeListen(key, address, example, err)
	}
	return l, nil
}

// describeListen returns an error that names the fix for an address at which Tocsin cannot
// listen.
func describeListen(key, address, example string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s is in use by another process. Stop that process, or write another address", key, address)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: this user may not open %s. Write a port above 1023, such as %s, and put a reverse proxy in front", key, address, example)
	}
	return fmt.Errorf("%s: %w. Write an address of this machine, such as %s", key, err, example)
}

func serveAlive(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

func serveUnknown(w http.ResponseWriter, r *http.Request) {
	intake.WriteError(w, http.StatusNotFound, incident.Unknown("", "unknown path %s. Check the URL", r.URL.Path))
}
