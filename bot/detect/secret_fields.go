package detect

import (
	"regexp"
	"slices"
	"strings"
)

// secretParameters are the fields, by service, in which a call names secrets.
// CloudTrail records no answer of most of these calls.
var secretParameters = map[string][]string{
	"secretsmanager.amazonaws.com": {
		"requestParameters.secretId", "requestParameters.secretIdList", "responseElements.secretValues.aRN", "responseElements.secretValues.arn",
	},
	"ssm.amazonaws.com": {
		"requestParameters.name", "requestParameters.names", "responseElements.parameters.name", "responseElements.parameters.aRN",
	},
	"kms.amazonaws.com": {
		"requestParameters.encryptionContext.SecretARN", "requestParameters.encryptionContext.PARAMETER_ARN",
	},
}

// maxSecrets is how many secrets of one call are read. AWS allows 20.
const maxSecrets = 1000

// readSecrets returns the derived fields about secrets without their prefix, or nil
// if the call names none.
func readSecrets(r *Record) map[string]any {
	service := strings.ToLower(r.EventSource())
	var names []string
	for _, path := range secretParameters[service] {
		for _, text := range r.values(path, maxSecrets) {
			names = append(names, secretName(r, service, text))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if count := len(names); count > 0 {
		return map[string]any{"names": names, "count": count}
	}
	if path := r.Field("requestParameters.path"); path != "" && service == "ssm.amazonaws.com" {
		return map[string]any{"names": []string{newSecretName(r, "parameters", "", "", strings.Trim(path, "/")+"/")}}
	}
	return nil
}

// secretSuffix is what AWS appends to the name of a secret in its ARN.
var secretSuffix = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

// secretName returns one text for all ways to name a secret: its name, its ARN,
// with the number or label of a version, and as a parameter.
func secretName(r *Record, service, text string) string {
	text = strings.TrimSpace(text)
	if arn := strings.SplitN(text, ":", 6); len(arn) == 6 && arn[0] == "arn" {
		if name, ok := strings.CutPrefix(arn[5], "secret:"); ok {
			return newSecretName(r, "secret", arn[4], arn[3], secretSuffix.ReplaceAllString(name, ""))
		}
		return newSecretName(r, "parameter", arn[4], arn[3], parameterName(strings.TrimPrefix(arn[5], "parameter")))
	}
	if service == "secretsmanager.amazonaws.com" {
		return newSecretName(r, "secret", "", "", text)
	}
	name := parameterName(text)
	if secret, ok := strings.CutPrefix(name, "aws/reference/secretsmanager/"); ok {
		return newSecretName(r, "secret", "", "", secret)
	}
	return newSecretName(r, "parameter", "", "", name)
}

// parameterName returns a parameter's name without the version and the first slash,
// which its ARN does not show.
func parameterName(text string) string {
	name, _, _ := strings.Cut(text, ":")
	return strings.TrimPrefix(name, "/")
}

// newSecretName takes the account and the region from the record if they are empty.
func newSecretName(r *Record, kind, account, region, name string) string {
	if account == "" {
		account = r.Field("recipientAccountId")
	}
	if region == "" {
		region = r.Field("awsRegion")
	}
	return kind + ":" + account + ":" + region + ":" + name
}
