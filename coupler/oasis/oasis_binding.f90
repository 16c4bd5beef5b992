!> The calls of mod_oasis with C linkage, for ctypes.
!! Strings end with a zero byte. Communicators are Fortran integers. Data are 1-D, double precision.
!! An OASIS error ends the job inside the library; kinfo is what it returns otherwise.
module oasis_binding
   use, intrinsic :: iso_c_binding, only: c_int, c_double, c_char, c_null_char, c_ptr, c_f_pointer
   use mod_oasis, only: oasis_init_comp, oasis_terminate, oasis_enddef, oasis_abort, &
      &                 oasis_get_localcomm, oasis_create_couplcomm, oasis_set_couplcomm, &
      &                 oasis_get_intracomm, oasis_get_intercomm, oasis_get_debug, oasis_set_debug, &
      &                 oasis_def_partition, oasis_def_var, oasis_get_ncpl, oasis_put, oasis_get, oasis_put_inquire, &
      &                 oasis_start_grids_writing, oasis_write_grid, oasis_write_corner, oasis_write_mask, &
      &                 oasis_write_area, oasis_write_angle, oasis_terminate_grids_writing, OASIS_Double
   use mod_oasis_coupler, only: prism_coupler, prism_router
   use mod_oasis_data, only: prism_var
   use mod_oasis_part, only: prism_part
   implicit none
   private

   public :: hal_init_comp, hal_terminate, hal_enddef, hal_abort
   public :: hal_get_localcomm, hal_create_couplcomm, hal_set_couplcomm, hal_get_intracomm, hal_get_intercomm
   public :: hal_set_shape, hal_def_partition, hal_def_var, hal_get_ncpl, hal_coverage
   public :: hal_put, hal_get, hal_put_inquire, hal_set_debug, hal_get_debug
   public :: hal_start_grids, hal_write_grid, hal_write_corner, hal_write_mask, hal_write_area, hal_write_angle
   public :: hal_terminate_grids

contains

   !> A C string as Fortran text.
   pure function text(cstring)
      character(kind=c_char), intent(in) :: cstring(*)
      character(len=:), allocatable      :: text
      integer :: n, i
      n = 0
      do while (cstring(n + 1) /= c_null_char)
         n = n + 1
      end do
      allocate(character(len=n) :: text)
      do i = 1, n
         text(i:i) = cstring(i)
      end do
   end function text

   subroutine hal_init_comp(name, id, kinfo) bind(C)
      character(kind=c_char), intent(in)  :: name(*)
      integer(c_int),         intent(out) :: id, kinfo
      kinfo = 0
      call oasis_init_comp(id, text(name), kinfo)
   end subroutine hal_init_comp

   subroutine hal_terminate(kinfo) bind(C)
      integer(c_int), intent(out) :: kinfo
      kinfo = 0
      call oasis_terminate(kinfo)
   end subroutine hal_terminate

   subroutine hal_enddef(kinfo) bind(C)
      integer(c_int), intent(out) :: kinfo
      kinfo = 0
      call oasis_enddef(kinfo)
   end subroutine hal_enddef

   subroutine hal_abort(id, routine, message) bind(C)
      integer(c_int), value              :: id
      character(kind=c_char), intent(in) :: routine(*), message(*)
      call oasis_abort(id, text(routine), text(message))
   end subroutine hal_abort

   subroutine hal_get_localcomm(comm) bind(C)
      integer(c_int), intent(out) :: comm
      integer(c_int) :: kinfo
      call oasis_get_localcomm(comm, kinfo)
   end subroutine hal_get_localcomm

   subroutine hal_create_couplcomm(colour, allcomm, cplcomm, kinfo) bind(C)
      integer(c_int), value       :: colour, allcomm
      integer(c_int), intent(out) :: cplcomm, kinfo
      kinfo = 0
      call oasis_create_couplcomm(colour, allcomm, cplcomm, kinfo)
   end subroutine hal_create_couplcomm

   subroutine hal_set_couplcomm(comm, kinfo) bind(C)
      integer(c_int), value       :: comm
      integer(c_int), intent(out) :: kinfo
      kinfo = 0
      call oasis_set_couplcomm(comm, kinfo)
   end subroutine hal_set_couplcomm

   subroutine hal_get_intracomm(name, comm, kinfo) bind(C)
      character(kind=c_char), intent(in)  :: name(*)
      integer(c_int),         intent(out) :: comm, kinfo
      call oasis_get_intracomm(comm, text(name), kinfo)
   end subroutine hal_get_intracomm

   subroutine hal_get_intercomm(name, comm, kinfo) bind(C)
      character(kind=c_char), intent(in)  :: name(*)
      integer(c_int),         intent(out) :: comm, kinfo
      call oasis_get_intercomm(comm, text(name), kinfo)
   end subroutine hal_get_intercomm

   !> parallel: (strategy, parameters), as in the OASIS3-MCT user guide; gsize: points of the global index space.
   subroutine hal_def_partition(n, parallel, gsize, id, kinfo) bind(C)
      integer(c_int), value       :: n, gsize
      integer(c_int), intent(in)  :: parallel(n)
      integer(c_int), intent(out) :: id, kinfo
      call oasis_def_partition(id, parallel, kinfo, gsize)
   end subroutine hal_def_partition

   !> The sizes with which files are written; otherwise those of the namcouple, which must then be right.
   subroutine hal_set_shape(id, nx, ny) bind(C)
      integer(c_int), value :: id, nx, ny
      prism_part(id)%nx = nx
      prism_part(id)%ny = ny
   end subroutine hal_set_shape

   subroutine hal_def_var(name, partition, points, inout, id, kinfo) bind(C)
      character(kind=c_char), intent(in)  :: name(*)
      integer(c_int), value               :: partition, points, inout
      integer(c_int),         intent(out) :: id, kinfo
      integer(c_int) :: nodims(2), shape(2)
      nodims = [1, 1]
      shape = [1, points]
      call oasis_def_var(id, text(name), partition, nodims, inout, shape, OASIS_Double, kinfo)
   end subroutine hal_def_var

   subroutine hal_get_ncpl(id, ncpl, kinfo) bind(C)
      integer(c_int), value       :: id
      integer(c_int), intent(out) :: ncpl, kinfo
      call oasis_get_ncpl(id, ncpl, kinfo)
   end subroutine hal_get_ncpl

   !> How many ranks send each local point of a received variable, from MCT's router; -1 where a mapping stands between.
   subroutine hal_coverage(id, n, senders) bind(C)
      integer(c_int), value       :: id, n
      integer(c_int), intent(out) :: senders(n)
      integer :: nc, cpl, proc, seg, first, last
      senders(:) = 0
      do nc = 1, prism_var(id)%ncpl
         cpl = prism_var(id)%cpl(nc)
         if (prism_coupler(cpl)%mapperID > 0 .or. prism_coupler(cpl)%routerID < 1) then
            senders(:) = -1
            return
         end if
         associate (router => prism_router(prism_coupler(cpl)%routerID)%router)
            do proc = 1, router%nprocs
               do seg = 1, router%num_segs(proc)
                  first = router%seg_starts(proc, seg)
                  last = first + router%seg_lengths(proc, seg) - 1
                  senders(first:last) = senders(first:last) + 1
               end do
            end do
         end associate
      end do
   end subroutine hal_coverage

   subroutine hal_put(id, time, n, field, kinfo) bind(C)
      integer(c_int), value       :: id, time, n
      type(c_ptr),    value       :: field
      integer(c_int), intent(out) :: kinfo
      real(c_double), pointer     :: values(:)
      call c_f_pointer(field, values, [n])
      call oasis_put(id, time, values, kinfo)
   end subroutine hal_put

   subroutine hal_get(id, time, n, field, kinfo) bind(C)
      integer(c_int), value       :: id, time, n
      type(c_ptr),    value       :: field
      integer(c_int), intent(out) :: kinfo
      real(c_double), pointer     :: values(:)
      call c_f_pointer(field, values, [n])
      call oasis_get(id, time, values, kinfo)
   end subroutine hal_get

   subroutine hal_put_inquire(id, time, kinfo) bind(C)
      integer(c_int), value       :: id, time
      integer(c_int), intent(out) :: kinfo
      call oasis_put_inquire(id, time, kinfo)
   end subroutine hal_put_inquire

   subroutine hal_set_debug(level, kinfo) bind(C)
      integer(c_int), value       :: level
      integer(c_int), intent(out) :: kinfo
      kinfo = 0
      call oasis_set_debug(level, kinfo)
   end subroutine hal_set_debug

   subroutine hal_get_debug(level, kinfo) bind(C)
      integer(c_int), intent(out) :: level, kinfo
      kinfo = 0
      call oasis_get_debug(level, kinfo)
   end subroutine hal_get_debug

   ! Grids: root of the component only, whole fields (nx, ny); the library writes grids.nc, masks.nc, areas.nc in enddef.

   subroutine hal_start_grids(flag) bind(C)
      integer(c_int), intent(out) :: flag
      call oasis_start_grids_writing(flag)
   end subroutine hal_start_grids

   subroutine hal_write_grid(name, nx, ny, lon, lat) bind(C)
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value              :: nx, ny
      real(c_double),         intent(in) :: lon(nx, ny), lat(nx, ny)
      call oasis_write_grid(text(name), nx, ny, lon, lat)
   end subroutine hal_write_grid

   subroutine hal_write_corner(name, nx, ny, nc, lon, lat) bind(C)
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value              :: nx, ny, nc
      real(c_double),         intent(in) :: lon(nx, ny, nc), lat(nx, ny, nc)
      call oasis_write_corner(text(name), nx, ny, nc, lon, lat)
   end subroutine hal_write_corner

   subroutine hal_write_mask(name, nx, ny, mask) bind(C)
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value              :: nx, ny
      integer(c_int),         intent(in) :: mask(nx, ny)
      call oasis_write_mask(text(name), nx, ny, mask)
   end subroutine hal_write_mask

   subroutine hal_write_area(name, nx, ny, area) bind(C)
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value              :: nx, ny
      real(c_double),         intent(in) :: area(nx, ny)
      call oasis_write_area(text(name), nx, ny, area)
   end subroutine hal_write_area

   subroutine hal_write_angle(name, nx, ny, angle) bind(C)
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value              :: nx, ny
      real(c_double),         intent(in) :: angle(nx, ny)
      call oasis_write_angle(text(name), nx, ny, angle)
   end subroutine hal_write_angle

   subroutine hal_terminate_grids() bind(C)
      call oasis_terminate_grids_writing()
   end subroutine hal_terminate_grids

end module oasis_binding
