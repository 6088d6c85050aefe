package trail

import "tocsin/bot/awsclient"

// explain returns why Amazon refused a request, or why it could not be made.
func explain(system string, err error) error {
	const create = "Create it, or correct sources.trail.queue_url and restart Tocsin"
	return awsclient.Explain(awsclient.Explanation{System: system, Use: "the CloudTrail log files", Check: "Check sources.trail",
		Denied: "Allow the role of Tocsin to read it, and to use its KMS key",
		Fixes: map[string]string{
			"NoSuchKey":         "Name a log file that exists",
			"PermanentRedirect": "Name a log file in a bucket of the region of the queue. Tocsin reads buckets of other regions too, and this check does not",
			"AWS.SimpleQueueService.NonExistentQueue": create, "QueueDoesNotExist": create, "NoSuchBucket": create,
		}}, err)
}
