namespace LongCat.ML.Modules;

/// <summary>
/// What went wrong within a backward pass. An exception that leaves a custom autograd function ends the process with the real TorchSharp, so such a function catches
/// it, keeps it here and gives no gradients; the next forward pass throws it.
/// </summary>
internal static class BackwardFault
{
    private static Exception? s_first;

    public static void Keep(Exception fault) => Interlocked.CompareExchange(ref s_first, fault, null);

    public static void ThrowIfAny()
    {
        if (s_first is not null && Interlocked.Exchange(ref s_first, null) is { } fault)
        {
            throw new InvalidOperationException($"the backward pass before this one failed: {fault.Message}", fault);
        }
    }
}
