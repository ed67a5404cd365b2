//! Gives failed and abandoned pictures a second chance; run as a CronJob.
