namespace LongCat.ML.Native.Tests;

public sealed class NativeLibraryLocatorTests
{
    [Fact]
    public void The_library_lies_beside_the_application() => Assert.StartsWith(AppContext.BaseDirectory, NativeLibraryLocator.Find(), StringComparison.Ordinal);

    [Theory]
    [InlineData("linux-x64", "liblongcat_ops.so")]
    [InlineData("win-x64", "longcat_ops.dll")]
    public void A_missing_library_lists_every_path_tried(string runtime, string file)
    {
        DllNotFoundException error = Assert.Throws<DllNotFoundException>(() => NativeLibraryLocator.Find(["/first", "/second"], runtime, file, _ => false));
        Assert.Contains($"/first/runtimes/{runtime}/native/{file}", error.Message, StringComparison.Ordinal);
        Assert.Contains($"/second/{file}", error.Message, StringComparison.Ordinal);
        Assert.Contains("linux-arm64", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_folder_of_this_system_comes_before_the_bare_name()
    {
        string found = NativeLibraryLocator.Find(["/first"], "win-x64", "longcat_ops.dll", _ => true);
        Assert.Equal(Path.GetFullPath("/first/runtimes/win-x64/native/longcat_ops.dll"), found);
    }

    [Fact]
    public void The_library_found_is_for_this_process() => Assert.Matches("^(linux|win)-(x64|arm64)$", NativeImage.Read(NativeLibraryLocator.Find()).ToString());

    [Theory]
    [InlineData("7F454C46020101", 18, "B700", "for linux-arm64")]
    [InlineData("7F454C46020201", 18, "003E", "for linux-x64")]
    [InlineData("7F454C46010101", 18, "0300", "for linux-(another processor)")]
    [InlineData("CFFAEDFE0C000001", 8, "00", "for osx-arm64")]
    [InlineData("4D5A", 60, "40000000504500006486", "for win-x64")]
    [InlineData("3C68746D6C3E", 6, "00", "not a native library")]
    public void A_library_for_another_system_or_processor_is_named(string start, int at, string then, string what)
    {
        byte[] bytes = new byte[128];
        Convert.FromHexString(start).CopyTo(bytes, 0);
        Convert.FromHexString(then).CopyTo(bytes, at);
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, bytes);
            DllNotFoundException error = Assert.Throws<DllNotFoundException>(() => NativeLibraryLocator.CheckImage(path, "linux-riscv64"));
            Assert.StartsWith($"{path} is {what}, but this process is linux-riscv64. Delete it and restore the package LongCat.ML.Native", error.Message, StringComparison.Ordinal);

            // A download that broke off.
            File.WriteAllBytes(path, bytes[..20]);
            error = Assert.Throws<DllNotFoundException>(() => NativeLibraryLocator.CheckImage(path, "linux-x64"));
            Assert.Contains("is not a native library, but this process is linux-x64", error.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("0.0.9", "/lib.so is of version 0.0.9, but LongCat.ML.Native is of version 0.1.0. Delete it and build again")]
    [InlineData(null, "/lib.so is not the operator library of LongCat.ML (it has no longcat_version)")]
    public void Another_version_is_named(string? version, string message)
    {
        DllNotFoundException error = Assert.Throws<DllNotFoundException>(() => NativeLibraryLocator.CheckVersion("/lib.so", "0.1.0", _ => version));
        Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
    }
}
