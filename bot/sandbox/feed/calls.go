package feed

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// actor is the account, user and network that make a call. It is a function of
// its seed.
type actor struct {
	r       *rand.Rand
	account string
	region  string
	ip      string
	agent   string
	user    string
	key     string
	seed    uint64
}

func newActor(event string, seed uint64) actor {
	r := newRand(event, seed)
	return actor{
		r: r, seed: seed,
		account: fmt.Sprintf("%012d", 100_000_000_000+r.Int64N(900_000_000_000)),
		region:  choose(r, "eu-west-1", "eu-central-1", "us-east-1"),
		ip:      randomIP(r),
		agent:   choose(r, "aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/linux#6.1.0 lang/python#3.13.7", "Boto3/1.40.21 md/Botocore#1.40.21 ua/2.1 os/macos#25.0.0", "aws-sdk-go-v2/1.39.0 ua/2.1 os/linux lang/go#1.26.0"),
		user:    choose(r, "ci-deploy", "billing-export", "m.okafor", "backup-runner", "j.lindqvist"),
		key:     "AKIA" + randomLetters(r, 16),
	}
}

func randomLetters(r *rand.Rand, n int) string {
	const set = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	b := make([]byte, n)
	for i := range b {
		b[i] = set[r.IntN(len(set))]
	}
	return string(b)
}

// call returns a call by the actor's IAM user with a long-lived access key.
func (s actor) call(source, name string) Call {
	return Call{
		Name: name, Source: source, Account: s.account, Region: s.region, SourceIP: s.ip, UserAgent: s.agent, seed: s.seed,
		Identity: object{
			"type": "IAMUser", "principalId": "AIDA" + randomLetters(s.r, 17), "arn": "arn:aws:iam::" + s.account + ":user/" + s.user,
			"accountId": s.account, "accessKeyId": s.key, "userName": s.user,
		},
	}
}

// CreateAccessKey returns a call that creates a long-lived key for another
// user, which outlives the attacker's first key.
func CreateAccessKey(seed uint64) Call {
	s := newActor("CreateAccessKey", seed)
	victim := choose(s.r, "payroll-admin", "dba-breakglass", "svc-terraform")
	c := s.call("iam.amazonaws.com", "CreateAccessKey")
	c.Region = "us-east-1" // global services log here
	c.Request = object{"userName": victim}
	c.Response = object{"accessKey": object{"accessKeyId": "AKIA" + randomLetters(s.r, 16), "status": "Active", "userName": victim, "createDate": "Nov 2, 2026, 2:31:07 AM"}}
	return c
}

// StopLogging returns a call that stops a CloudTrail trail.
func StopLogging(seed uint64) Call {
	s := newActor("StopLogging", seed)
	c := s.call("cloudtrail.amazonaws.com", "StopLogging")
	c.Request = object{"name": "arn:aws:cloudtrail:" + s.region + ":" + s.account + ":trail/" + choose(s.r, "org-audit", "management-events", "security-lake")}
	return c
}

// RootConsoleLogin returns a console sign-in of the account's root user without
// a second factor.
func RootConsoleLogin(seed uint64) Call {
	s := newActor("ConsoleLogin", seed)
	c := s.call("signin.amazonaws.com", "ConsoleLogin")
	c.Type, c.Region = "AwsConsoleSignIn", "us-east-1"
	c.UserAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
	c.Identity = object{"type": "Root", "principalId": s.account, "arn": "arn:aws:iam::" + s.account + ":root", "accountId": s.account, "accessKeyId": ""}
	c.Response = object{"ConsoleLogin": "Success"}
	c.Additional = object{"LoginTo": "https://console.aws.amazon.com/console/home?nc2=h_ct", "MobileVersion": "No", "MFAUsed": "No"}
	return c
}

// PublicBucketPolicy returns a call that makes a bucket readable by the public.
func PublicBucketPolicy(seed uint64) Call {
	s := newActor("PutBucketPolicy", seed)
	bucket := choose(s.r, "payslip-archive", "tax-exports", "customer-uploads") + "-" + strings.ToLower(randomLetters(s.r, 6))
	c := s.call("s3.amazonaws.com", "PutBucketPolicy")
	c.UserAgent = "[" + c.UserAgent + "]"
	c.Request = object{
		"bucketName": bucket, "Host": bucket + ".s3." + s.region + ".amazonaws.com", "policy": "",
		"bucketPolicy": object{"Version": "2012-10-17", "Statement": []object{{
			"Sid": "PublicRead", "Effect": "Allow", "Principal": "*", "Action": []string{"s3:GetObject", "s3:ListBucket"},
			"Resource": []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"},
		}}},
	}
	c.Additional = object{"SignatureVersion": "SigV4", "CipherSuite": "TLS_AES_128_GCM_SHA256", "AuthenticationMethod": "AuthHeader", "bytesTransferredIn": 312, "bytesTransferredOut": 0}
	c.Resources = []map[string]any{{"accountId": s.account, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::" + bucket}}
	return c
}

// SecretBurst returns n calls in which one role reads n different secrets.
func SecretBurst(seed uint64, n int) []Call {
	s := newActor("GetSecretValue", seed)
	role := choose(s.r, "web-frontend", "report-worker", "mail-relay")
	principal, session := "AROA"+randomLetters(s.r, 17), "i-0"+hexID("instance", seed)[:16]
	calls := make([]Call, n)
	for i := range calls {
		c := s.call("secretsmanager.amazonaws.com", "GetSecretValue")
		c.ReadOnly = true
		c.seed = seed ^ uint64(i+1)<<32 // each call is a separate event
		c.Identity = object{
			"type": "AssumedRole", "principalId": principal + ":" + session, "arn": "arn:aws:sts::" + s.account + ":assumed-role/" + role + "/" + session,
			"accountId": s.account, "accessKeyId": "ASIA" + s.key[4:],
			"sessionContext": object{
				"sessionIssuer": object{"type": "Role", "principalId": principal, "arn": "arn:aws:iam::" + s.account + ":role/" + role, "accountId": s.account, "userName": role},
				"attributes":    object{"creationDate": "2026-11-02T01:58:12Z", "mfaAuthenticated": "false"},
			},
		}
		c.Request = object{"secretId": fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:prod/%s/%d-%s", s.region, s.account, choose(s.r, "db", "stripe", "smtp", "signing"), i, randomLetters(s.r, 6))}
		calls[i] = c
	}
	return calls
}

// OpenSecurityGroup returns a call that opens a port to the whole internet.
func OpenSecurityGroup(seed uint64) Call {
	s := newActor("AuthorizeSecurityGroupIngress", seed)
	group, rule := "sg-0"+hexID("sg", seed)[:16], "sgr-0"+hexID("sgr", seed)[:16]
	port := choose(s.r, 22, 3389, 5432, 6379)
	c := s.call("ec2.amazonaws.com", "AuthorizeSecurityGroupIngress")
	c.Request = object{"groupId": group, "ipPermissions": object{"items": []object{{
		"ipProtocol": "tcp", "fromPort": port, "toPort": port, "groups": object{}, "ipv6Ranges": object{}, "prefixListIds": object{},
		"ipRanges": object{"items": []object{{"cidrIp": "0.0.0.0/0", "description": "temporary"}}},
	}}}}
	c.Response = object{"_return": true, "requestId": uuid("sg", seed), "securityGroupRuleSet": object{"items": []object{{
		"groupOwnerId": s.account, "groupId": group, "securityGroupRuleId": rule, "isEgress": false, "ipProtocol": "tcp", "fromPort": port, "toPort": port,
		"cidrIpv4": "0.0.0.0/0", "description": "temporary",
	}}}}
	return c
}
