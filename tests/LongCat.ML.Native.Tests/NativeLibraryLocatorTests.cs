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
}
