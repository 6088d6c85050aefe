# The build needs only the sources and the module proxy.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/tocsin ./cmd/tocsin \
    && mkdir -p /out/data

# No shell, no package manager, no root: certificates, zones and one binary.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/tocsin /tocsin
# The folder of the SQLite database and the control socket. The user of the process owns it.
COPY --from=build --chown=nonroot:nonroot /out/data /data
USER nonroot:nonroot
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/tocsin", "health", "--url", "http://127.0.0.1:9464/readyz"]
ENTRYPOINT ["/tocsin"]
CMD ["serve", "--config", "/etc/tocsin/tocsin.yaml"]
