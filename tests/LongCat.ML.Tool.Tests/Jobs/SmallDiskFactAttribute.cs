using System.ComponentModel;
using System.Diagnostics;

namespace LongCat.ML.ToolTests.Jobs;

/// <summary>A test that needs a disk small enough to fill; it skips where this process may not mount one.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SmallDiskFactAttribute : FactAttribute
{
    private static readonly Lazy<bool> s_mounts = new(() =>
    {
        string folder = Directory.CreateTempSubdirectory("longcat-disk").FullName;
        bool mounted = OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder) && Run("umount", folder);
        Directory.Delete(folder);
        return mounted;
    });

    public SmallDiskFactAttribute() => Skip = s_mounts.Value ? null : "no right to mount a small disk here (root on Linux has it)";

    public static bool Run(string command, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}
