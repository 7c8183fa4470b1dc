//! How much memory a GPU has left, where its driver tells: Vulkan's do.

use super::adapters::Gpu;

/// Bytes of an adapter's own memory: how many there are, and how many of them may still be taken.
#[cfg(any(target_os = "linux", target_os = "windows"))]
pub(super) fn of_adapter(adapter: &wgpu::Adapter) -> [Option<u64>; 2] {
    // SAFETY: it is looked at, not destroyed.
    let Some(adapter) = (unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }) else { return [None; 2] };
    let (instance, device) = (adapter.shared_instance().raw_instance(), adapter.raw_physical_device());
    // SAFETY: instance and device are wgpu's, which are open.
    let heaps = unsafe { instance.get_physical_device_memory_properties(device) };
    [own(&heaps).map(|heap| heaps.memory_heaps[heap].size), free(instance, device)]
}

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
pub(super) fn of_adapter(_: &wgpu::Adapter) -> [Option<u64>; 2] {
    [None; 2]
}

/// The largest heap of the device's own.
#[cfg(any(target_os = "linux", target_os = "windows"))]
fn own(heaps: &ash::vk::PhysicalDeviceMemoryProperties) -> Option<usize> {
    let own = |i: &usize| heaps.memory_heaps[*i].flags.contains(ash::vk::MemoryHeapFlags::DEVICE_LOCAL);
    (0..heaps.memory_heap_count as usize).filter(own).max_by_key(|i| heaps.memory_heaps[*i].size)
}

impl Gpu {
    /// Bytes that may still be taken of its own memory. Nothing stops one from asking for more: some drivers then move memory to the
    /// host's, and everything is slow.
    pub fn free_memory(&self) -> Option<u64> {
        #[cfg(any(target_os = "linux", target_os = "windows"))]
        {
            // SAFETY: it is looked at, not destroyed.
            let device = unsafe { self.device.as_hal::<wgpu::hal::api::Vulkan>() }?;
            free(device.shared_instance().raw_instance(), device.raw_physical_device())
        }
        #[cfg(not(any(target_os = "linux", target_os = "windows")))]
        None
    }
}

/// The budget of the largest heap of the device's own, less what this program has of it (VK_EXT_memory_budget).
#[cfg(any(target_os = "linux", target_os = "windows"))]
fn free(instance: &ash::Instance, device: ash::vk::PhysicalDevice) -> Option<u64> {
    use ash::vk;
    // SAFETY: instance and device are wgpu's, which are open; the structures are chained as the extension wants it.
    let extensions = unsafe { instance.enumerate_device_extension_properties(device) }.ok()?;
    if !extensions.iter().any(|e| e.extension_name_as_c_str() == Ok(ash::ext::memory_budget::NAME)) {
        return None;
    }
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
    // SAFETY: as above.
    unsafe { instance.get_physical_device_memory_properties2(device, &mut properties) };
    let largest = own(&properties.memory_properties)?;
    // A driver that fills nothing in tells nothing.
    (budget.heap_budget[largest] > 0).then(|| budget.heap_budget[largest].saturating_sub(budget.heap_usage[largest]))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::device::Device;

    #[test]
    fn what_is_free_is_some_of_what_is_there() {
        let Ok(Device::Gpu(gpu)) = Device::open("gpu") else {
            println!("skipped: no Vulkan driver");
            return;
        };
        let Some(free) = gpu.free_memory() else {
            println!("skipped: {} does not tell its memory", gpu.name());
            return;
        };
        assert!(free > 0 && free < 1 << 50, "{free}");
        assert!(gpu.report().free_bytes.is_some());
        assert!(gpu.report().memory_bytes.is_some_and(|bytes| bytes >= gpu.report().free_bytes.unwrap_or(0)));
    }
}
