namespace LongCat.ML.Tests;

internal static class ExceptionExtensions
{
    /// <summary>What went wrong first: ML.NET wraps what a step throws once for each thread that a row passed.</summary>
    public static Exception Innermost(this Exception exception) => exception.InnerException is { } inner ? inner.Innermost() : exception;
}
