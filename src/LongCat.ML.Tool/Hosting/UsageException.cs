namespace LongCat.ML.CommandLine;

/// <summary>The arguments are wrong in a way that the parser cannot see (a missing partner option, say): exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
