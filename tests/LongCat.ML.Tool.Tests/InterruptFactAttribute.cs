using System.Diagnostics;
using LongCat.ML.ToolTests.Jobs;

namespace LongCat.ML.ToolTests;

/// <summary>A test of Ctrl-C. A shell starts what runs behind it with that signal ignored, children inherit this, and .NET leaves it so: the tool is started with the signal's default restored.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class InterruptFactAttribute : FactAttribute
{
    private const string Restore = "--default-signal=INT";
    private static readonly Lazy<bool> s_restores = new(() => OperatingSystem.IsLinux() && SmallDiskFactAttribute.Run("env", Restore, "true"));

    public InterruptFactAttribute() => Skip = s_restores.Value ? null : $"no 'env {Restore}' here (Linux with GNU coreutils has it)";

    /// <summary>How a process is started that Ctrl-C ends, whatever started the tests; its id is the program's own.</summary>
    public static ProcessStartInfo Interruptible(string program, params string[] arguments) => new("env", [Restore, program, .. arguments]);
}
