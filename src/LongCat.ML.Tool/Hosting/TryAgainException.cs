namespace LongCat.ML.CommandLine;

/// <summary>Nothing is wrong with the input, and the same command may succeed later (another process holds the work, the disk is full, a scheduler took the machine back): exit code 75.</summary>
internal sealed class TryAgainException(string message, Exception? innerException = null) : Exception(message, innerException);
